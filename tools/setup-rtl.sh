#!/bin/sh
# Installs what the tests of rtl/ need, if it is missing: as root at once, in CI with sudo, on a terminal after
# a question. Otherwise it says what to install and succeeds: the tests of the RTL are then skipped.
set -u

packages="verilator g++ make"
missing=""
for tool in $packages; do   # each package is named like its program
  command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
[ -z "$missing" ] && exit 0

by_hand="sudo apt-get install $packages"
say() { echo "The RTL cannot be built:$missing missing. $1"; }

if ! command -v apt-get >/dev/null 2>&1; then
  say "Install Verilator 5, a C++ compiler and make; on Debian and Ubuntu: $by_hand"
  exit 0
fi

if [ "$(id -u)" = 0 ]; then
  as_root=""
elif ! command -v sudo >/dev/null 2>&1; then
  say "Ask an administrator for: apt-get install $packages"
  exit 0
elif [ -n "${CI:-}" ]; then
  as_root="sudo -n"
elif [ -t 0 ] && [ -t 1 ]; then
  say "Run $by_hand now? [y/N] "
  read -r answer
  case "$answer" in
    [yY]*) as_root="sudo" ;;
    *) say "The tests of the RTL are skipped. To install later: $by_hand"; exit 0 ;;
  esac
else
  say "The tests of the RTL are skipped. To install: $by_hand"
  exit 0
fi

export DEBIAN_FRONTEND=noninteractive
install="$as_root apt-get install -y --no-install-recommends $packages"
echo "Installing $packages ..."
$install >/dev/null 2>&1 && exit 0     # fails where the package lists are missing or old
$as_root apt-get update >/dev/null && $install >/dev/null && exit 0
say "The installation failed. By hand: $by_hand"
[ -z "${CI:-}" ]                        # in CI the tests must not be skipped
