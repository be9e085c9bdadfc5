// DetachKeys: finds Ctrl-P Ctrl-Q, typed one after the other, in what is typed on a terminal.
#pragma once

#include <string>
#include <string_view>

namespace msb::cli {

class DetachKeys {
 public:
  // What of `typed` is the program's: a Ctrl-P is held back until the next key. `found`: the keys
  // came; what follows them is dropped.
  std::string Filter(std::string_view typed, bool& found) {
    constexpr char kFirst = 'P' & 0x1f, kSecond = 'Q' & 0x1f;
    std::string out;
    for (const char key : typed) {
      if (pending_ && key == kSecond) {
        found = true;
        return out;
      }
      if (pending_) out += kFirst;
      pending_ = key == kFirst;
      if (!pending_) out += key;
    }
    return out;
  }

 private:
  bool pending_ = false;
};

}  // namespace msb::cli
