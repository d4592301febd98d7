//! A node of the benchmarks in a process of its own: what orders it, and what obeys.

use anyhow::{Context, Result, bail};
use gritmesh_store_rocksdb::Written;

use crate::load;
use crate::member::{Member, Plan, Pulled, text};
use crate::role::{self, Role};

/// A member in a process of its own.
#[derive(Debug)]
pub(crate) struct Process {
    role: Role,
    plan: Plan,
    /// Its key.
    pub(crate) node_id: String,
}

impl Process {
    pub(crate) fn start(mut plan: Plan) -> Result<Self> {
        let (data, listen) = (plan.data.display().to_string(), plan.listen.to_string());
        let (shards, weight) = (plan.shards.to_string(), plan.weight.to_string());
        let role = Role::start("member", &[&data, &listen, &shards, &weight, &plan.seeds.join(",")])?;
        let (address, node_id) = role.line.split_once(' ').context("a member says its address and key")?;
        plan.listen = address.parse()?;
        let node_id = node_id.to_owned();
        Ok(Self { role, plan, node_id })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        self.plan.listen.to_string()
    }

    pub(crate) fn id(&self) -> u32 {
        self.role.id()
    }

    /// Kills the process. What is returned starts it again.
    pub(crate) fn kill(self) -> Plan {
        self.plan
    }

    pub(crate) fn ready(&mut self) -> Result<()> {
        self.role.ask("ready").map(drop)
    }

    pub(crate) fn written(&mut self) -> Result<Written> {
        let [log, flush, compaction] = numbers(&self.role.ask("written")?)?;
        Ok(Written { log: log as u64, flush: flush as u64, compaction: compaction as u64 })
    }

    /// See [`Member::fill`].
    pub(crate) fn fill(&mut self, from: usize, count: usize, bytes: usize) -> Result<f64> {
        let [rate] = numbers(&self.role.ask(&format!("fill {from} {count} {bytes}"))?)?;
        Ok(rate)
    }

    /// One more step of an actor; answers which one it was.
    pub(crate) fn put(&mut self, id: &str) -> Result<f64> {
        let [writes] = numbers(&self.role.ask(&format!("put {id}"))?)?;
        Ok(writes)
    }

    /// See [`Member::transferred`].
    pub(crate) fn transferred(&mut self, calls: bool) -> Result<Pulled> {
        let order = if calls { "transferred calling" } else { "transferred" };
        let [bytes, seconds, busy_p50, busy_p99, quiet_p50, quiet_p99] = numbers(&self.role.ask(order)?)?;
        Ok(Pulled { bytes, seconds, busy: [busy_p50, busy_p99], quiet: [quiet_p50, quiet_p99] })
    }
}

/// User and system time of a process, in hundredths of a second.
pub(crate) fn cpu_ticks(process: u32) -> Result<u64> {
    let counters = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in brackets may hold anything; behind it, the twelfth and thirteenth are user and system time.
    let (_, counters) = counters.rsplit_once(')').context("the counters follow the name")?;
    let times: Result<Vec<u64>, _> = counters.split_whitespace().skip(11).take(2).map(str::parse).collect();
    Ok(times?.iter().sum())
}

pub(crate) fn cpu_seconds(process: u32) -> Result<f64> {
    Ok(cpu_ticks(process)? as f64 / 100.0)
}

fn numbers<const N: usize>(line: &str) -> Result<[f64; N]> {
    let numbers: Result<Vec<f64>, _> = line.split_whitespace().map(str::parse).collect();
    let numbers = numbers.with_context(|| line.to_owned())?;
    numbers.try_into().map_err(|numbers| anyhow::anyhow!("{N} numbers were expected, not {numbers:?}"))
}

/// The child process: a member that obeys.
pub(crate) fn serve(arguments: &[String]) -> Result<()> {
    let [data, listen, shards, weight, seeds] = arguments else { bail!("a member takes five arguments") };
    let plan = Plan {
        data: data.into(),
        listen: listen.parse()?,
        seeds: seeds.split(',').filter(|seed| !seed.is_empty()).map(str::to_owned).collect(),
        shards: shards.parse()?,
        weight: weight.parse()?,
    };
    let runtime = load::runtime()?;
    let member = runtime.block_on(Member::start(plan))?;
    println!("{} {}", member.address, member.core.info().node_id);
    role::obey(|order| runtime.block_on(obey(&member, order)))
}

async fn obey(member: &Member, order: &str) -> Result<String> {
    let words: Vec<&str> = order.split_whitespace().collect();
    match words.as_slice() {
        ["ready"] => member.ready().await.map(|()| "ready".to_owned()),
        ["written"] => {
            let Written { log, flush, compaction } = member.written();
            Ok(format!("{log} {flush} {compaction}"))
        }
        ["fill", from, count, bytes] => {
            Ok(member.fill(from.parse()?, count.parse()?, bytes.parse()?).await?.to_string())
        }
        ["put", id] => Ok(member.record(id).put(text(100, 0)).await?.to_string()),
        ["transferred", calling @ ..] => {
            let Pulled { bytes, seconds, busy, quiet } = member.transferred(!calling.is_empty()).await?;
            Ok(format!("{bytes} {seconds} {} {} {} {}", busy[0], busy[1], quiet[0], quiet[1]))
        }
        _ => bail!("no such order: {order}"),
    }
}
