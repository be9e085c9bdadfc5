#include "src/server/json_size.h"

namespace msb::server {

size_t CountValues(std::string_view json) {
  size_t count = 1;
  bool in_string = false;
  for (size_t at = 0; at < json.size(); ++at) {
    const char c = json[at];
    if (in_string) {
      at = json.find_first_of("\"\\", at);
      if (at == std::string_view::npos) break;
      if (json[at] == '\\') {
        ++at;
      } else {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else {
      count += c == ',' || c == ':' || c == '[' || c == '{';
    }
  }
  return count;
}

}  // namespace msb::server
