#!/bin/sh
# CMake's arguments for llama.cpp in an image: for processors that it shall run on, not for the one that builds it.
#
#   llama_cpp_flags.sh ARCHITECTURE LEVEL
#
#   arm64  graviton3  Graviton 3 and 4 (c7g, m7g, r7g, c8g, ...): dot products, I8MM, BF16, SVE. The default.
#   amd64  avx2       every x86 instance of EC2's last generations, those with GPUs and NeuronCores too. The default.
#   amd64  avx512     Sapphire Rapids and Zen 4, and later (c7i, m7i, c7a, m7a, ...): AVX-512 with VNNI and BF16.
#
# An older processor ends the process with SIGILL: the pools of a profile must name families of its level.
# The other switches are the Makefile's, which says why.
set -eu
common="-DGGML_NATIVE=OFF -DGGML_LLAMAFILE=ON -DGGML_OPENMP=ON -DGGML_BLAS=OFF"
avx2="-DGGML_SSE42=ON -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_BMI2=ON -DGGML_FMA=ON -DGGML_F16C=ON"
avx512="-DGGML_AVX512=ON -DGGML_AVX512_VBMI=ON -DGGML_AVX512_VNNI=ON -DGGML_AVX512_BF16=ON"
case "$1/$2" in
    arm64/default | arm64/graviton3) echo "$common -DGGML_CPU_ARM_ARCH=armv8.4-a+bf16+i8mm+sve" ;;
    amd64/default | amd64/avx2) echo "$common $avx2" ;;
    amd64/avx512) echo "$common $avx2 $avx512" ;;
    *)
        echo "llama_cpp_flags.sh: no level $2 of $1; there are arm64 graviton3, amd64 avx2, amd64 avx512" >&2
        exit 2
        ;;
esac
