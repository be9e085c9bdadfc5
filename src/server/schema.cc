#include "src/server/schema.h"

#include <utility>

namespace msb::server::internal {

void StructSchema::Add(std::string_view name, Object schema, std::string_view doc, bool required,
                       const Value& fallback) {
  schema["description"] = doc;
  const bool empty = (fallback.is_array() && fallback.get_array().empty()) ||
                     (fallback.is_object() && fallback.get_object().empty());
  if (!fallback.is_null() && !empty) schema["default"] = fallback;
  if (required) required_.push_back(Value(name));
  properties_[name] = std::move(schema);
}

Object StructSchema::Take() {
  Object schema{{"type", "object"}, {"properties", std::move(properties_)}};
  if (!required_.empty()) schema["required"] = std::move(required_);
  if (options_.closed) schema["additionalProperties"] = false;
  return schema;
}

std::string WithoutNamespace(std::string_view type_name) {
  const size_t colon = type_name.rfind(':');
  return std::string(colon == std::string_view::npos ? type_name : type_name.substr(colon + 1));
}

Object Reference(const SchemaOptions& options, std::string_view name) {
  std::string reference(options.reference);
  reference += name;
  return {{"$ref", Value(std::string_view(reference))}};
}

}  // namespace msb::server::internal
