#!/bin/sh
# Succeeds on a machine with an NVIDIA driver: the kernel module, or (WSL, some containers) its tool.
[ -e /proc/driver/nvidia/version ] || [ -e /dev/nvidiactl ] || command -v nvidia-smi >/dev/null
