//! temp
use clap::Parser;
#[derive(Parser)]
struct A {
    #[command(flatten)]
    a: gritmesh_sim::cli::SimArgs,
}
fn main() {
    let c = A::parse().a.run(&mut std::io::stdout()).unwrap();
    std::process::exit(c as i32)
}
