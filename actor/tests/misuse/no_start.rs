use gritmesh_actor::{actor, handlers};

#[actor(volatile, crate = gritmesh_actor)]
struct Counter;

#[handlers(crate = gritmesh_actor)]
impl Counter {}

fn main() {}
