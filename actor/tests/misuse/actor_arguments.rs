use gritmesh_actor::actor;

macro_rules! handlers {
    ($($actor:ident)*) => {
        $(#[gritmesh_actor::handlers(crate = gritmesh_actor)] impl $actor {})*
    };
}

#[actor(volatile, nmae = "counter", crate = gritmesh_actor)]
#[derive(Default)]
struct UnknownKey;

#[actor(crate = gritmesh_actor, volatile, volatile)]
#[derive(Default)]
struct Twice;

#[actor(crate = gritmesh_actor, volatile, name = "two words")]
#[derive(Default)]
struct BadName;

#[actor(crate = gritmesh_actor, volatile, idle_after = "60")]
#[derive(Default)]
struct NoUnit;

#[actor(crate = gritmesh_actor, volatile, idle_after = 60)]
#[derive(Default)]
struct NoText;

#[actor(crate = gritmesh_actor, volatile, mailbox_capacity = 0)]
#[derive(Default)]
struct NoRoom;

handlers!(Twice BadName NoUnit NoText NoRoom);

fn main() {}
