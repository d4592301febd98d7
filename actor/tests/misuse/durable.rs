use gritmesh_actor::{actor, handlers};

#[actor(crate = gritmesh_actor)]
#[derive(Default)]
struct Counter;

#[handlers(crate = gritmesh_actor)]
impl Counter {}

fn main() {}
