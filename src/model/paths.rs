//! Where things are on a device: the values of `packaging/paths`, which build.rs hands over.

use std::path::{Path, PathBuf};

macro_rules! paths {
    ($($(#[doc = $text:literal])* $name:ident;)*) => {
        $($(#[doc = $text])* pub const $name: &str = env!(concat!("SUREFOOT_PATH_", stringify!($name)));)*
    };
}

paths! {
    /// The mount point of the data partition.
    DATA;
    /// The state folder, in the data partition.
    STATE;
    /// Sockets, marks and the status of the daemon.
    RUN;
    /// The program.
    BIN;
    /// The settings of the image.
    ETC;
    /// The settings that a package brings.
    LIB;
    /// The trust file.
    TRUST;
    /// The description of the environment of U-Boot.
    FW_ENV_CONFIG;
    /// The identity of the device.
    MACHINE_ID;
    /// The folder of links to the parts of the disk that the device has started from.
    LINKS;
}

/// The place of one of these paths below another root: an image, or a folder of a test.
pub fn within(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_device_is_found_in_an_image() {
        assert_eq!(within(Path::new("/image"), "/a/b"), Path::new("/image/a/b"));
        assert_eq!(within(Path::new("/"), STATE), Path::new(STATE));
        assert!(Path::new(STATE).starts_with(DATA));
    }
}
