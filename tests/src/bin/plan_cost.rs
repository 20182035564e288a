//! What a plan for the largest cluster costs, and how good it is: rows for
//! docs/benchmarks.md.

#![expect(clippy::print_stdout, reason = "what it is for")]

use std::time::Instant;

use anyhow::Result;
use cached::cluster::plan::{Current, Holder, Movement, difference, plan};
use cached_proto::assignment::Assignment;
use cached_proto::limits::MEMBERS_MAX;
use cached_proto::records::PlanMember;
use cached_proto::ring::VIRTUAL_NODES_DEFAULT;
use cached_proto::types::{Incarnation, MemberId, NodeName};

/// Plans whose median time is told.
const ROUNDS: usize = 11;

fn member(number: usize) -> Result<PlanMember> {
    Ok(PlanMember {
        id: MemberId {
            name: NodeName::new(format!("n{number}"))?,
            inc: Incarnation(1),
        },
        weight: 1,
    })
}

fn settled(assignment: &Assignment) -> Current {
    let ids = assignment.members().iter().map(|member| member.id.clone());
    Current {
        holders: ids.map(|id| Holder { id, living: true }).collect(),
        rows: assignment.owners().to_vec(),
    }
}

fn main() -> Result<()> {
    let members: Vec<_> = (1..=MEMBERS_MAX).map(member).collect::<Result<_>>()?;
    let all = |current: &Current, count: usize| {
        plan(
            current,
            &members[..count],
            VIRTUAL_NODES_DEFAULT,
            Movement::Free,
        )
    };
    let before = settled(&all(&Current::nobody(), MEMBERS_MAX - 1)?);
    let mut times = Vec::new();
    let mut after = all(&before, MEMBERS_MAX)?;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        after = all(&before, MEMBERS_MAX)?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    let time = times[ROUNDS / 2];

    let slots = after.slots();
    let spread = slots.iter().max().unwrap_or(&0) - slots.iter().min().unwrap_or(&0);
    let moved: u32 = difference(&before, &after).iter().map(|it| it.slots).sum();
    // Whoever joins must be given its share; nothing else has to move.
    let joined = format!("n{MEMBERS_MAX}");
    let shares = after.members().iter().zip(&slots);
    let least = shares.filter(|(it, _)| it.id.name.as_str() == joined);
    let least: u32 = least.map(|(_, slots)| *slots).sum();
    let ratio = f64::from(moved) / f64::from(least.max(1));

    let yes = |reached: bool| if reached { "yes" } else { "no" };
    println!("| what | measured | goal | reached |\n|---|---|---|---|");
    println!(
        "| one more joins {} nodes: median of {ROUNDS} plans | {time:.1} ms | ≤ 50 ms | {} |",
        MEMBERS_MAX - 1,
        yes(time <= 50.0)
    );
    println!(
        "| slots between fullest and emptiest | {spread} | ≤ 1 | {} |",
        yes(spread <= 1)
    );
    println!(
        "| moved ÷ least possible | {ratio:.2} | 1.00 | {} |",
        yes(moved == least)
    );
    Ok(())
}
