// The programs that tests execute: all are this one executable, told apart by their first argument.

#pragma once

namespace guest {

// Runs what the arguments name; its result is the exit status.
int RunProgram(int argc, char** argv);

}  // namespace guest
