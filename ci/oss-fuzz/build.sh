#!/bin/bash -eu
# Builds every fuzz target into $OUT, as OSS-Fuzz and ClusterFuzzLite ask for it: $CC, $CXX, $CXXFLAGS and $LIB_FUZZING_ENGINE come
# from them. Each target gets its corpus, its dictionary and its options; the shared libraries lie in $OUT/lib.
# The image asks for libc++; the libraries that it installs (fmt, spdlog) speak libstdc++.
export CXXFLAGS=${CXXFLAGS//-stdlib=libc++/}
source_dir=$SRC/vpn-lab
build_dir=$WORK/build

cmake -S "$source_dir" -B "$build_dir" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DVPN_FUZZ=ON -DVPN_PYTHON=OFF \
  -DVPN_FUZZ_ENGINE="$LIB_FUZZING_ENGINE" -DCMAKE_EXE_LINKER_FLAGS='-Wl,-rpath,$ORIGIN/lib'
cmake --build "$build_dir" --target fuzz_targets

mkdir -p "$OUT/lib"
for binary in "$build_dir"/bin/fuzz_*; do
  target=$(basename "$binary")
  name=${target#fuzz_}
  cp "$binary" "$OUT/"
  (cd "$source_dir/fuzz/corpus/$name" && python3 -m zipfile -c "$OUT/${target}_seed_corpus.zip" ./*)
  for kind in dict options; do
    file=$(find "$source_dir/fuzz" -name "$name.$kind")
    [ -z "$file" ] || cp "$file" "$OUT/$target.$kind"
  done
  # What the running image may lack; the C library and the loader are the image's own.
  ldd "$binary" | awk '/=> \// { print $3 }' | grep -vE '/(libc|libm|libdl|librt|libpthread|libresolv)\.so' |
    xargs -r -I{} cp -u {} "$OUT/lib/"
done
