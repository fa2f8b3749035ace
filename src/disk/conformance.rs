//! What every `BlockDevice` must do, run on each implementation and on the fake.

use super::BlockDevice;
use crate::sys::AlignedBuf;
use std::sync::Arc;

/// Deterministic numbers: a failure comes back with its seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }
}

/// `device` holds `mirror` when it comes; at least 4 MiB of whole blocks.
pub(super) fn suite(device: &Arc<dyn BlockDevice>, mut mirror: Vec<u8>) {
    assert_eq!(device.len(), mirror.len() as u64);
    assert!(!device.is_empty());
    assert!([512, 4096].contains(&device.block_size()));
    compare(device, &mirror);
    edges(device, &mut mirror);
    any_offset_and_length(device, &mut mirror);
    beyond_the_end(device, &mirror);
    neighbours(device, &mut mirror);
    device.flush().unwrap();
    compare(device, &mirror);
}

fn compare(device: &Arc<dyn BlockDevice>, mirror: &[u8]) {
    let mut all = vec![0xee; mirror.len()];
    device.read_at(0, &mut all).unwrap();
    if let Some(at) = (0..all.len()).find(|i| all[*i] != mirror[*i]) {
        panic!("byte {at}: {} where {} should be", all[at], mirror[at]);
    }
}

fn edges(device: &Arc<dyn BlockDevice>, mirror: &mut [u8]) {
    let len = mirror.len();
    for (at, size) in [
        (0, 1),
        (len - 1, 1),
        (511, 2),
        (4095, 2),
        (4096, 4096),
        (len - 4096, 4096),
        (1 << 20, 0),
        (100, 3 << 20),
    ] {
        let bytes = vec![0x5a; size];
        device.write_at(at as u64, &bytes).unwrap();
        mirror[at..at + size].copy_from_slice(&bytes);
    }
    compare(device, mirror);
    let mut aligned = AlignedBuf::new(1 << 20);
    aligned.fill(0xc3);
    device.write_at(8192, &aligned).unwrap();
    mirror[8192..8192 + aligned.len()].copy_from_slice(&aligned);
    aligned.fill(0);
    device.read_at(8192, &mut aligned).unwrap();
    assert!(aligned.iter().all(|b| *b == 0xc3));
    device.zero(0, len as u64 / 2 + 7).unwrap();
    mirror[..len / 2 + 7].fill(0);
    device.zero(9, 0).unwrap();
    compare(device, mirror);
}

fn any_offset_and_length(device: &Arc<dyn BlockDevice>, mirror: &mut [u8]) {
    let mut random = Random(0x5eed);
    for round in 0..400 {
        let at = random.below(mirror.len());
        let len = random.below((mirror.len() - at).min(20_000) + 1);
        let range = at..at + len;
        match random.below(5) {
            0 => {
                device.zero(at as u64, len as u64).unwrap();
                mirror[range].fill(0);
            }
            1 => {
                let mut back = vec![1; len];
                device.read_at(at as u64, &mut back).unwrap();
                assert!(back == mirror[range], "round {round}: {at}+{len}");
            }
            2 => device.flush().unwrap(),
            _ => {
                let value = random.next().to_le_bytes()[0];
                mirror[range].fill(value);
                device.write_at(at as u64, &mirror[at..at + len]).unwrap();
            }
        }
    }
    compare(device, mirror);
}

fn beyond_the_end(device: &Arc<dyn BlockDevice>, mirror: &[u8]) {
    let len = device.len();
    let mut one = [0; 2];
    for at in [len - 1, len, len + 1, u64::MAX] {
        assert!(device.read_at(at, &mut one).is_err(), "{at}");
        assert!(device.write_at(at, &one).is_err(), "{at}");
        assert!(device.zero(at, 2).is_err(), "{at}");
    }
    assert!(device.zero(1, u64::MAX).is_err());
    compare(device, mirror);
}

/// Threads that share blocks but no byte.
fn neighbours(device: &Arc<dyn BlockDevice>, mirror: &mut [u8]) {
    const STEP: usize = 100;
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            scope.spawn(move || {
                for round in 0..100 {
                    let at = (round * 4 + usize::from(thread)) * STEP;
                    device.write_at(at as u64, &[thread + 1; STEP]).unwrap();
                }
            });
        }
    });
    for (i, byte) in mirror[..400 * STEP].iter_mut().enumerate() {
        *byte = u8::try_from(i / STEP % 4 + 1).unwrap();
    }
    compare(device, mirror);
}
