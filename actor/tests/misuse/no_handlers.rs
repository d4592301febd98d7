#[gritmesh_actor::actor(volatile, crate = gritmesh_actor)]
#[derive(Default)]
struct Counter;

fn main() {
    gritmesh_actor::Registry::new().register::<Counter>().unwrap();
}
