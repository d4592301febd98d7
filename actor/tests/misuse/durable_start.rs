use gritmesh_actor::{actor, handlers};
use serde::{Deserialize, Serialize};

#[actor(crate = gritmesh_actor)]
#[derive(Serialize, Deserialize)]
struct NoDefault;

#[handlers(crate = gritmesh_actor)]
impl NoDefault {}

fn main() {}
