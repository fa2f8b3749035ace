SUMMARY = "Builds and signs artifacts for Surefoot devices"
DESCRIPTION = "The program of build hosts: artifacts from images, deltas, keys, channels."

require surefoot.inc

CARGO_BUILD_FLAGS += "--no-default-features --features forge --bin surefoot-forge"

BBCLASSEXTEND = "native nativesdk"
