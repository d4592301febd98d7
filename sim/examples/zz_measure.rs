//! tmp
use gritmesh_sim::measure::*;
use std::time::{Duration, Instant};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let n: u64 = a[2].parse().unwrap();
    let t = Instant::now();
    match &*a[1] {
        "gossip" => println!("{n}: {:?}", gossip(n as u16, Duration::from_secs(30))),
        "deaths" => println!("{:?}", false_deaths(1, Duration::from_secs(n))),
        "light" => { let v = light_load(1, Duration::from_secs(n)); println!("speed {}", v.as_secs_f64() / t.elapsed().as_secs_f64()); }
        _ => {}
    }
    println!("took {:?}", t.elapsed());
}
