//! The device's program: a thin door to [`surefoot::cli`].
fn main() {}
