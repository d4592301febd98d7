use gritmesh_actor::actor;

#[actor(volatile, crate = gritmesh_actor)]
fn counter() {}

#[actor(volatile, crate = gritmesh_actor)]
#[derive(Default)]
struct Cell<T>(T);

fn main() {}
