//! What the attributes make of a struct and a block.

use gritmesh_actor::{ActivationError, Actor, Context, Message, NoError, actor, handlers};
use std::time::Duration;

use crate::host::LocalHost;
use crate::virtual_time::World;

#[actor(volatile, name = "shelf.v2", idle_after = "90s", mailbox_capacity = 10, crate = gritmesh_actor)]
#[derive(Default)]
enum Shelf {
    #[default]
    Empty,
    Full(Vec<String>),
}

#[handlers(crate = gritmesh_actor)]
impl Shelf {
    const LIMIT: usize = 3;

    /// Puts a book on the shelf.
    ///
    /// Returns how many there are.
    pub(crate) async fn put(&mut self, ctx: &mut Context<'_>, mut title: String, _again: bool) -> usize {
        title.push_str(ctx.address().id());
        *self = match std::mem::replace(self, Self::Empty) {
            Self::Empty => Self::Full(vec![title]),
            Self::Full(mut titles) => {
                titles.push(title);
                Self::Full(titles)
            }
        };
        self.count().min(Self::limit())
    }

    fn limit() -> usize {
        Self::LIMIT
    }

    #[query]
    fn count(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Full(titles) => titles.len(),
        }
    }

    #[query]
    async fn is_known(&self, id: String, ctx: &mut Context<'_>) -> bool {
        ctx.address().id() == id
    }

    async fn r#move(&mut self, r#to: Option<(u8, Vec<String>)>) -> Result<(), NoError> {
        drop(r#to);
        Ok(())
    }

    fn clear(&mut self) {
        *self = Self::Empty;
    }

    #[cfg(any())]
    async fn absent(&mut self, of: NoSuchType) {}

    #[expect(clippy::too_many_arguments, reason = "to see that many work")]
    fn many(
        &mut self,
        a: u8,
        b: u8,
        c: u8,
        d: u8,
        e: u8,
        f: u8,
        g: u8,
        h: u8,
        message: u8,
        arguments: u8,
    ) -> Vec<u8> {
        vec![a, b, c, d, e, f, g, h, message, arguments]
    }

    fn deactivate(&mut self) {}
}

#[test]
fn names_options_and_methods() {
    assert_eq!(Shelf::TYPE, "shelf.v2");
    assert_eq!(Shelf::options().idle_after, Duration::from_secs(90));
    assert_eq!(Shelf::options().mailbox_capacity, 10);
    let methods: Vec<_> = Shelf::methods().iter().map(|method| (method.name(), method.is_query())).collect();
    let expected = [
        ("put", false),
        ("count", true),
        ("is_known", true),
        ("move", false),
        ("clear", false),
        ("many", false),
    ];
    assert_eq!(methods, expected);
}

#[test]
fn references_have_the_methods() {
    let (world, host) = world();
    let shelf: ShelfRef = host.actor::<Shelf>("x");
    world.run(async move {
        assert_eq!(shelf.put("Dune ".into(), true).await, Ok(1));
        assert_eq!(shelf.count().await, Ok(1));
        assert_eq!(shelf.is_known("x".into()).await, Ok(true));
        shelf.r#move(Some((1, vec![]))).await.unwrap();
        assert_eq!(shelf.many(1, 2, 3, 4, 5, 6, 7, 8, 9, 10).await.unwrap(), (1..=10).collect::<Vec<u8>>());
        shelf.clear().send().await.unwrap();
        assert_eq!(shelf.count().deadline(Duration::from_secs(1)).await, Ok(0));
        assert_eq!(shelf, shelf.clone());
    });
}

mod elsewhere {
    use super::{NoError, Visible, gone};
    use gritmesh_actor::handlers;

    // In another module than the definition, and with a helper block beside it.
    #[handlers(crate = gritmesh_actor)]
    impl super::elsewhere_defined::Distant {
        fn twice(&self, visible: Visible) -> Visible {
            Visible(gone(visible.0))
        }
    }

    fn _no_error(error: NoError) -> ! {
        match error {}
    }
}

mod elsewhere_defined {
    /// An actor whose handlers are written elsewhere.
    #[gritmesh_actor::actor(volatile, crate = gritmesh_actor)]
    #[derive(Default)]
    pub(super) struct Distant;
}

use elsewhere_defined::Distant;

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Visible(u8);

const fn gone(number: u8) -> u8 {
    number * 2
}

#[test]
fn handlers_may_stand_in_another_module() {
    let (world, host) = world();
    let distant = host.actor::<Distant>("x");
    assert_eq!(world.run(async move { distant.twice(Visible(4)).await }), Ok(Visible(8)));
    assert_eq!(Distant::TYPE, "distant");
}

/// Has no default.
#[actor(volatile, crate = gritmesh_actor)]
struct HTTPProbe2(u8);

#[handlers(crate = gritmesh_actor)]
impl HTTPProbe2 {
    fn activate() -> Result<Self, ActivationError> {
        Ok(Self(1))
    }

    #[query]
    fn number(&self) -> u8 {
        self.0
    }
}

#[test]
fn activation_may_be_a_plain_function() {
    let (world, host) = world();
    let probe = host.actor::<HTTPProbe2>("x");
    assert_eq!(world.run(async move { probe.number().await }), Ok(1));
    assert_eq!(HTTPProbe2::TYPE, "http_probe2");
}

#[test]
fn messages_are_arrays() {
    let encoded = __ShelfMessage::<0, _>(("a".to_owned(), true)).encode().unwrap();
    assert_eq!(encoded, [0x92, 0xa1, b'a', 0xc3]);
    assert_eq!(__ShelfMessage::<1, ()>::decode(&[]).unwrap().encode().unwrap(), [0x90]);
}

fn world() -> (World, std::sync::Arc<LocalHost>) {
    let world = World::default();
    let mut registry = gritmesh_actor::Registry::new();
    registry.register::<Shelf>().unwrap();
    registry.register::<Distant>().unwrap();
    registry.register::<HTTPProbe2>().unwrap();
    assert!(registry.register::<Shelf>().is_err(), "the name is taken");
    let host = LocalHost::new(world.clone(), world.clone(), registry);
    (world, host)
}
