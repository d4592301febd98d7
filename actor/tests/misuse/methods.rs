use gritmesh_actor::{Context, actor, handlers};

#[actor(volatile, crate = gritmesh_actor)]
#[derive(Default)]
struct Counter {
    name: String,
}

#[handlers(crate = gritmesh_actor)]
impl Counter {
    async fn by_value(self) {}
    async fn by_box(self: Box<Self>) {}
    async fn borrows(&mut self, _name: &str) {}
    async fn borrows_deep(&mut self, _names: Option<Vec<&'static str>>) {}
    async fn open(&mut self, _name: impl Into<String>) {}
    async fn generic<T: Send>(&mut self, _value: T) {}
    async fn nameless(&mut self, (_a, _b): (u8, u8)) {}
    async fn shared_context(&mut self, _ctx: &Context<'_>) {}
    async fn owned_context(&mut self, _ctx: Context<'_>) {}
    async fn two_contexts(&mut self, _one: &mut Context<'_>, _two: &mut Context<'_>) {}
    async fn short_result(&mut self) -> std::io::Result<u8> {
        Ok(1)
    }
    fn lends(&self) -> &str {
        &self.name
    }
    fn address(&self) {}
    unsafe fn dangerous(&mut self) {}
    #[query]
    fn writes(&mut self) {}
    #[query]
    fn nobody() {}
    #[query(fast)]
    fn more(&self) {}
    fn good(&mut self, number: u8) -> u8 {
        number
    }
}

fn use_good(counter: &CounterRef) {
    drop(counter.good(1));
}

fn main() {}
