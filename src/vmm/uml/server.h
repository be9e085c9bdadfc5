// Server: a vhost-user socket: accepts one front end, ever, and feeds its messages to the Backend.
//
// Owned by the machine, on the event loop's thread. The listener is closed with the first
// connection; when that ends, the device is reset and stays without a driver.
#pragma once

#include <memory>
#include <string>

#include "src/base/event_loop.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/vmm/uml/backend.h"

namespace msb::vmm::uml {

class Server {
 public:
  // `name` is the device's, for reasons. All references must outlive the server.
  static base::Result<std::unique_ptr<Server>> Create(base::EventLoop& loop,
                                                      base::UniqueFd listener, std::string name,
                                                      virtio::Device& device, GuestFile& memory,
                                                      BackendEvents& events);

 private:
  // Names the device in what its backend says.
  class Named final : public BackendEvents {
   public:
    Named(std::string name, BackendEvents& events) : name_(std::move(name)), events_(events) {}
    void GuestBroken(const std::string& reason) override {
      events_.GuestBroken(name_ + ": " + reason);
    }

   private:
    const std::string name_;
    BackendEvents& events_;
  };

  Server(base::EventLoop& loop, std::string name, BackendEvents& events)
      : loop_(loop), events_(std::move(name), events) {}
  base::Status Accept();
  base::Status ReadMessages();
  void End(const base::Error& why);

  base::EventLoop& loop_;
  Named events_;
  std::unique_ptr<Backend> backend_;
  MessageReader reader_;
  base::UniqueFd listener_;
  base::Watch listener_watch_;
  base::UniqueFd socket_;
  base::Watch socket_watch_;
};

}  // namespace msb::vmm::uml
