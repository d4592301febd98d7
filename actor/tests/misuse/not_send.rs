use gritmesh_actor::{actor, handlers};
use std::rc::Rc;

#[actor(volatile, crate = gritmesh_actor)]
#[derive(Default)]
struct Counter;

#[handlers(crate = gritmesh_actor)]
impl Counter {
    async fn holds(&mut self) {
        let number = Rc::new(1);
        std::future::ready(()).await;
        drop(number);
    }
}

fn main() {}
