#!/bin/sh
# Installs microsandbox from the directory that this script is in, or removes it.
#   ./install.sh [--prefix DIR] [--no-images]
#   ./install.sh --uninstall [--prefix DIR]
# Without --prefix: /usr/local for root, ~/.local for everybody else.
#
# A version lives in a directory of its own, PREFIX/libexec/microsandbox/VERSION.N, and PREFIX/bin/msb
# is a link into it: replacing that link is the whole upgrade, at once. The version before stays until
# the next upgrade, for sandboxes and commands that still run from it.
#
# POSIX sh, and nothing but the usual small programs: it must run where there is only busybox.
set -eu
umask 022

usage() { sed -n '2,5s/^# \{0,1\}//p' "$0"; }
say() { printf '%s\n' "$*"; }
die() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}

prefix=
images=yes
action=install
while [ $# -gt 0 ]; do
  case $1 in
    --prefix)
      [ $# -ge 2 ] || die "--prefix needs a directory"
      prefix=$2
      shift
      ;;
    --prefix=*) prefix=${1#--prefix=} ;;
    --no-images) images=no ;;
    --uninstall) action=uninstall ;;
    -h | --help)
      usage
      exit 0
      ;;
    *)
      usage >&2
      die "what is $1?"
      ;;
  esac
  shift
done

if [ -z "$prefix" ]; then
  if [ "$(id -u)" = 0 ]; then
    prefix=/usr/local
  elif [ -n "${HOME:-}" ]; then
    prefix=$HOME/.local
  else
    die "HOME is not set: say where with --prefix DIR"
  fi
fi
case $prefix in
  /*) ;;
  *) prefix=$(pwd)/$prefix ;;
esac
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
bin=$prefix/bin
root=$prefix/libexec/microsandbox # holds the versions
created=$root/created             # directories that were made for it

# The version that PREFIX/bin/msb runs: its directory's name, or nothing.
current() {
  target=$(readlink "$bin/msb" 2>/dev/null) || return 0
  case $target in
    ../libexec/microsandbox/*/bin/msb)
      target=${target#../libexec/microsandbox/}
      say "${target%/bin/msb}"
      ;;
  esac
}

make_directory() {
  [ ! -d "$1" ] || return 0
  make_directory "$(dirname "$1")"
  mkdir "$1" 2>/dev/null || [ -d "$1" ] || die "cannot make $1: choose another place with --prefix DIR"
  made="$1
$made"
}

# As a shell would have to be given it.
quote() {
  case $1 in
    *[!A-Za-z0-9_./~-]*) printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")" ;;
    *) printf '%s' "$1" ;;
  esac
}

# Links are made beside and renamed, so that the name is never missing.
put_link() { # TARGET NAME
  ln -s "$1" "$bin/.$2.$$"
  mv -f "$bin/.$2.$$" "$bin/$2"
}

remove_others() { # all but these two versions, and what killed installations have left
  for entry in "$root"/* "$root"/.new.*; do
    case $entry in
      "$root/$1" | "$root/$2" | "$created") ;;
      "$root"/.new.*) [ -d "/proc/${entry##*.}" ] || rm -rf "$entry" ;;
      *) rm -rf "$entry" ;;
    esac
  done
}

load_images() {
  for archive in "$here"/images/*.tar.zst; do
    [ -f "$archive" ] || continue
    say "Loading $(basename "$archive" .tar.zst)"
    "$bin/msb" image load --quiet "$archive" || die "microsandbox is installed, but its images are not \
loaded. When the cause is mended: $bin/msb image load $archive"
  done
}

check_source() {
  [ -f "$here/bin/msb" ] || die "$here is no unpacked microsandbox: there is no bin/msb beside this script"
  case $(uname -s).$(uname -m) in
    Linux.x86_64 | Linux.amd64) ;;
    *) die "microsandbox runs on Linux on x86-64; this is $(uname -s) on $(uname -m)" ;;
  esac
}

# What has our names in PREFIX/bin must be ours: a link of this script, or of the version before it.
check_names() {
  for link in "$here"/bin/*; do
    taken=$bin/$(basename "$link")
    case $(readlink "$taken" 2>/dev/null) in
      msb | ../libexec/microsandbox/*) continue ;;
    esac
    [ ! -e "$taken" ] || [ -f "$root/linux" ] ||
      die "$taken is not microsandbox's: move it away, or install elsewhere with --prefix DIR"
  done
}

install_version() {
  version=$(cat "$here/VERSION")
  made=
  make_directory "$bin"
  make_directory "$root"
  for directory in "$bin" "$root"; do
    [ -w "$directory" ] || die "you may not write to $directory: choose another place with --prefix DIR"
  done
  before=$(current)
  number=1
  while [ -e "$root/$version.$number" ]; do number=$((number + 1)); done
  name=$version.$number
  new=$root/.new.$$
  trap 'rm -rf "$new"' EXIT
  mkdir "$new"
  for part in bin libexec share install.sh VERSION; do
    [ ! -e "$here/$part" ] || cp -RP "$here/$part" "$new/$part" || die "cannot copy $part to $prefix"
  done
  chmod -R u=rwX,go=rX "$new" # whatever the umask was where the archive was unpacked
  printf '%s' "$made" >>"$created"
  mv "$new" "$root/$name"
  trap - EXIT
  put_link "../libexec/microsandbox/$name/bin/msb" msb
  for link in "$here"/bin/*; do
    [ ! -L "$link" ] || put_link msb "$(basename "$link")"
  done
  remove_others "$name" "${before:-$name}"
  say "Installed microsandbox $version: $bin/msb"
}

install() {
  check_source
  check_names
  install_version
  [ "$images" = no ] || load_images
  case :$PATH: in
    *":$bin:"*) ;;
    *) say "Add it to your PATH: export PATH=$bin:\$PATH" ;;
  esac
  say "To see what this machine can run: msb doctor"
  say "To remove it: $(quote "$root/$name/install.sh") --uninstall --prefix $(quote "$prefix")"
}

uninstall() {
  [ -e "$root" ] || die "there is no microsandbox in $prefix: say where with --prefix DIR"
  for link in "$bin"/*; do
    case $(readlink "$link" 2>/dev/null) in
      msb | ../libexec/microsandbox/*) rm -f "$link" ;;
    esac
  done
  if [ -f "$root/linux" ]; then rm -f "$bin/msb"; fi # a version before there was this script
  directories=$(cat "$created" 2>/dev/null || true)
  rm -rf "$root"
  printf '%s\n' "$directories" | while IFS= read -r directory; do
    [ -z "$directory" ] || rmdir "$directory" 2>/dev/null || true
  done
  say "Removed microsandbox from $prefix. Sandboxes that run go on until they end."
  say "Images and sandboxes are kept: to remove yours, too: rm -rf $(quote "${MSB_HOME:-${HOME:-~}/.microsandbox}")"
}

"$action"
