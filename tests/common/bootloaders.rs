//! The bootloaders that a simulated device can have: what the program promises, it promises on each.

use super::Bench;

/// The bootloader of the device in a scene.
#[derive(Debug, Clone, Copy)]
pub enum On {
    Uboot,
    /// Two numbered files, with rules of its own.
    Numbered,
}

impl On {
    pub fn bench(self) -> Bench {
        match self {
            On::Uboot => Bench::new(),
            On::Numbered => Bench::with(&["--bootloader", "numbered"]),
        }
    }

    /// One device of each kind of board that this bootloader knows, with its name.
    pub fn every_board(self) -> Vec<(Bench, &'static str)> {
        match self {
            On::Uboot => {
                let counter = |who| (Bench::with(&["--counter", who]), who);
                vec![counter("uboot"), counter("script")]
            }
            On::Numbered => vec![(self.bench(), "numbered")],
        }
    }
}

/// Makes a test of each scene on each bootloader. A scene that is not in the list is code that
/// nothing uses, and does not build without a warning.
macro_rules! scenes {
    ($($scene:ident,)*) => {
        mod uboot {
            $(#[test] fn $scene() { super::$scene($crate::common::bootloaders::On::Uboot) })*
        }
        mod numbered {
            $(#[test] fn $scene() { super::$scene($crate::common::bootloaders::On::Numbered) })*
        }
    };
}
pub(crate) use scenes;
