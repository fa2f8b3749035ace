//! Disks with a partition table, made by the `gpt` crate.

/// The bytes of a disk with a GPT of 512-byte sectors and these partitions: name, offset, length
/// in bytes. For tests and the simulator: made by the `gpt` crate, read by our own checks.
pub fn gpt_disk(len: u64, partitions: &[(&str, u64, u64)]) -> Vec<u8> {
    gpt_disk_with(len, partitions, gpt::disk::LogicalBlockSize::Lb512)
}

/// [`gpt_disk`] with sectors of another size.
pub(crate) fn gpt_disk_with(
    len: u64,
    partitions: &[(&str, u64, u64)],
    sector: gpt::disk::LogicalBlockSize,
) -> Vec<u8> {
    let size = sector.as_u64();
    let why = "because the caller names partitions that fit the disk";
    let mut bytes = std::io::Cursor::new(vec![0; usize::try_from(len).expect(why)]);
    let last = u32::try_from(len / size - 1).unwrap_or(u32::MAX);
    let boot = gpt::mbr::ProtectiveMBR::with_lb_size(last);
    boot.overwrite_lba0(&mut bytes).expect(why);
    let config = gpt::GptConfig::new().writable(true).logical_block_size(sector);
    let mut disk = config.create_from_device(&mut bytes, None).expect(why);
    for ((name, start, len), number) in partitions.iter().zip(1u32..) {
        let kind = gpt::partition_types::LINUX_FS;
        disk.add_partition_at(name, number, start / size, len / size, kind, 0).expect(why);
    }
    disk.write().expect(why);
    bytes.into_inner()
}
