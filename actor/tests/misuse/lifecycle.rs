use gritmesh_actor::{Context, actor, handlers};

macro_rules! actors {
    ($($name:ident)*) => {
        $(#[actor(volatile, crate = gritmesh_actor)] #[derive(Default)] struct $name;)*
    };
}

actors!(WithState NoResult WithArgument WithoutState);

#[handlers(crate = gritmesh_actor)]
impl WithState {
    async fn activate(&mut self, _ctx: &mut Context<'_>) {}
}

#[handlers(crate = gritmesh_actor)]
impl NoResult {
    async fn activate(_ctx: &mut Context<'_>) {}
}

#[handlers(crate = gritmesh_actor)]
impl WithArgument {
    async fn deactivate(&mut self, _reason: String) {}
}

#[handlers(crate = gritmesh_actor)]
impl WithoutState {
    async fn deactivate(_ctx: &mut Context<'_>) {}
}

fn main() {}
