//! The `broker-dev` program.

fn main() {}
