use gritmesh_actor::handlers;

#[handlers(crate = gritmesh_actor)]
struct Counter;

struct Cell<T>(T);

#[handlers(crate = gritmesh_actor)]
impl<T> Cell<T> {}

#[handlers(crate = gritmesh_actor)]
impl Clone for Cell<u8> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

fn main() {}
