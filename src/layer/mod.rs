//! Layers of container images: tar archives that are read without being unpacked, and made again, bit for bit, from
//! a patch and the files of layers that are here already. This room never speaks to an engine and never writes where
//! an archive says.
