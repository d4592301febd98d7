use gritmesh_actor::{actor, handlers};

struct Opaque;

#[actor(volatile, crate = gritmesh_actor)]
#[derive(Default)]
struct Counter;

#[handlers(crate = gritmesh_actor)]
impl Counter {
    async fn takes(&mut self, _number: u8, _opaque: Opaque) {}
}

fn main() {}
