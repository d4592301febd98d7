use gritmesh_actor::{actor, handlers};

#[actor(volatile, crate = gritmesh_actor)]
#[derive(Default)]
struct Counter;

#[handlers(crate = gritmesh_actor, volatile)]
impl Counter {}

fn main() {}
