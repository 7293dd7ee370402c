#!/bin/bash -eu
# One build file serves ClusterFuzzLite and OSS-Fuzz.
exec "$SRC/vpn-lab/ci/oss-fuzz/build.sh"
