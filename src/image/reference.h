// Reference: the name of an image, `[registry[:port]/]path[:tag][@sha256:…]`.
//
// The grammar is that of the distribution project, with its defaults: registry docker.io,
// `library/` before a single name there, tag `latest`. A name typed by a user and a name found in
// an archive go through the same normalization before they are stored or looked up, so `python`,
// `docker.io/library/python` and `index.docker.io/library/python:latest` are one image. What is in
// the store under that name is what runs, wherever it came from: an image imported with
// `--tag python` is `python`.
//
// Values; any thread. Errors are kInvalid (kUnsupported for digests that are not SHA-256) and name
// the part that is wrong.
#pragma once

#include <string>
#include <string_view>

#include "src/base/result.h"

namespace msb::image {

struct Reference {
  std::string registry;  // "docker.io", "localhost:5000", "[::1]:5000"
  std::string path;      // "library/python"
  std::string tag;       // never empty, but means nothing where there is a digest
  std::string digest;    // "sha256:…", or empty

  auto operator<=>(const Reference&) const = default;

  std::string Repository() const { return registry + "/" + path; }
  // "docker.io/library/python:latest": how images are named in the store. Without the digest.
  std::string TaggedName() const { return Repository() + ":" + tag; }
  // With the digest, where there is one, instead of the tag.
  std::string FullName() const;
  // As people write it: "python", "python:3.12", "ghcr.io/a/b:1".
  std::string ShortName() const;
};

base::Result<Reference> ParseReference(std::string_view text);

// "sha256:" and 64 lower-case hexadecimal digits.
bool IsDigest(std::string_view text);
// The 64 digits of a valid digest.
std::string_view DigestHex(std::string_view digest);

}  // namespace msb::image
