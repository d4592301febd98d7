#[derive(Default)]
struct Counter;

#[gritmesh_actor::handlers(crate = gritmesh_actor)]
impl Counter {
    fn get(&self) -> u8 {
        1
    }
}

fn main() {}
