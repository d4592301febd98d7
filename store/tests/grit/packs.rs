//! Packs.

use gritmesh_store::{Blob, Object, ObjectKind, PACK_BYTES_MAX, Pack, PackError};
use proptest::prelude::*;

use crate::samples::{full_step, id, small_step, step_object};

fn blob(data: &[u8]) -> Object {
    Object::new(ObjectKind::Blob, Blob::of_data(data.to_vec()).encode())
}

#[test]
fn the_step_stands_first_whatever_the_order() {
    let (a, b, step) = (blob(b"a"), blob(b"b"), step_object(&full_step()));
    let pack = Pack::encode([&a, &step, &b, &a]).unwrap();
    assert_eq!(pack, Pack::encode([&b, &a, &step]).unwrap());
    assert_eq!(pack.step_id(), step.id());
    assert_eq!(pack.step().unwrap().to_step().unwrap(), full_step());
    let opened = Pack::open(pack.bytes().clone(), true).unwrap();
    assert_eq!(opened.iter().count(), 3);
    assert_eq!(opened.find(&a.id()).unwrap().to_object(), a);
    assert_eq!(opened.find(&id(0)), None);
}

#[test]
fn a_pack_has_one_step_and_a_limit() {
    let (a, first, second) = (blob(b"a"), step_object(&small_step()), step_object(&full_step()));
    assert_eq!(Pack::encode([&a]), Err(PackError::Steps { found: 0 }));
    assert_eq!(Pack::encode([&first, &second]), Err(PackError::Steps { found: 2 }));
    let big: Vec<Object> = (0..17).map(|n| blob(&[n; 64 * 1024])).chain([first]).collect();
    assert!(matches!(Pack::encode(&big), Err(PackError::TooLarge { .. })));
    assert!(Pack::encode(&big[2..]).unwrap().bytes().len() <= PACK_BYTES_MAX);
}

#[test]
fn other_bytes_are_named() {
    let pack = Pack::encode([&blob(b"a"), &blob(b"b"), &step_object(&small_step())]).unwrap();
    let bytes = pack.bytes().to_vec();
    assert_eq!(Pack::open([], true), Err(PackError::Cut));
    assert_eq!(Pack::open([9], true), Err(PackError::Format { found: 9 }));
    assert_eq!(Pack::open([1], true), Err(PackError::Steps { found: 0 }));
    assert_eq!(Pack::open(&bytes[..bytes.len() - 1], false), Err(PackError::Cut));
    assert_eq!(Pack::open([&bytes[..], &[9, 0, 0, 0]].concat(), false), Err(PackError::Kind { found: 9 }));
    let step = &bytes[1..5 + small_step().encode().len()];
    let others = &bytes[1 + step.len()..];
    assert_eq!(Pack::open([&[1], others, step].concat(), false), Err(PackError::Steps { found: 0 }));
    let (low, high) = others.split_at(others.len() / 2);
    assert_eq!(Pack::open([&[1], step, high, low].concat(), true), Err(PackError::Unsorted));
    assert_eq!(Pack::open([&[1], step, low, low].concat(), true), Err(PackError::Unsorted));
    let mut damaged = bytes.clone();
    damaged[10] ^= 1;
    assert!(
        Pack::open(damaged.clone(), true).is_ok_and(|pack| pack.step_id() != step_object(&small_step()).id())
            || Pack::open(damaged, true).is_err()
    );
    let other_kind = Pack::open([&bytes[..], &[2, 1, 0, 0, 1]].concat(), true).unwrap_err();
    assert_eq!(other_kind.as_str(), "object_malformed");
}

proptest! {
    #[test]
    fn bytes_from_strangers_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), verify: bool) {
        if let Ok(pack) = Pack::open(bytes, verify) {
            let _ = (pack.step(), pack.step_id(), pack.iter().count(), pack.find(&id(1)));
        }
    }

    #[test]
    fn damaged_packs_never_panic(at: prop::sample::Index, bit in 0_u8..8, verify: bool) {
        let pack = Pack::encode([&blob(b"a"), &blob(b"b"), &step_object(&full_step())]).unwrap();
        let mut bytes = pack.bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(damaged) = Pack::open(bytes, verify) {
            let _ = (damaged.step(), damaged.iter().count());
            prop_assert_ne!(damaged, pack);
        }
    }
}
