// Pack and Unpack: what the child that has the connection does (transfer_process.h).
//
// The child has the user's rights already. Ends with all that the request is answered with sent, or
// with the host gone.
#pragma once

#include <cstdint>

#include "src/agent/guest/transfer_process.h"
#include "src/agent/protocol.h"

namespace msb::agent {

void PackTree(const Pack& request, uint32_t seq, TransferChannel& channel);
void UnpackTree(const Unpack& request, uint32_t seq, TransferChannel& channel);
void RefuseTransfer(const Failure& failure, uint32_t seq, TransferChannel& channel);

}  // namespace msb::agent
