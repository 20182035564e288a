//! Beginnings that could go wrong: two at once, half a bootstrap, answers that get
//! lost, other settings.

use cached_proto::records::Mode;
use cached_proto::registry_keys::RegistryKey;
use cached_proto::ring::hash::KeyHash;
use cached_proto::table::PageIndex;

use super::lifecycle::{MINUTE, cluster, config, secs};
use super::registry::keys;
use super::world::World;
use crate::cluster::ClusterConfig;
use crate::cluster::view::{FenceReason, Serving};

fn pages(world: &World) -> usize {
    let there = |page| {
        world
            .registry
            .get(&keys().key(&RegistryKey::Page(page)))
            .is_some()
    };
    PageIndex::all().filter(|page| there(*page)).count()
}

/// R44.
#[test]
fn two_that_bootstrap_at_once_make_one_cluster() {
    for seed in 0..10 {
        let mut world = World::new(seed);
        world.start(&config(Mode::Strict, 1), "n1");
        world.start(&config(Mode::Strict, 1), "n2");
        world.run_until(secs(5.0), World::whole);
        world.run(secs(5.0));
        let uuid = |node: usize| world.nodes[node].view.meta.as_ref().unwrap().cluster_uuid;
        assert_eq!(uuid(0), uuid(1));
        assert!(world.whole());
        assert_eq!(world.nodes[0].view.layout, 1);
    }
}

#[test]
fn a_half_written_table_is_completed_by_the_next_planner() {
    let mut world = World::new(40);
    let config = config(Mode::Strict, 3);
    for name in ["n1", "n2", "n3"] {
        world.start(&config, name);
    }
    world.run_until(secs(5.0), |world| pages(world) > 0);
    assert!(pages(&world) < 256, "the point of the test");
    world.kill(0);
    let problems = world.problems(1).join("\n");
    world.run(secs(1.0));
    let half = world.problems(1).join("\n");
    assert!(
        half.contains("the table is half written"),
        "{problems}\n{half}"
    );
    world.run_until(secs(30.0), |world| pages(world) == 256);
    world.run_until(secs(20.0), World::whole);
    assert_eq!(world.serves(1) + world.serves(2), 16_384);
}

/// R2: transactions land although nobody says so.
#[test]
fn lost_answers_delay_and_break_nothing() {
    for seed in 50..53 {
        let mut world = World::new(seed);
        world.lost_answers = 50;
        for name in ["n1", "n2", "n3"] {
            world.start(&config(Mode::Strict, 3), name);
        }
        world.run_until(MINUTE, World::whole);
        world.kill(2);
        world.run_until(MINUTE * 2, World::whole);
    }
}

/// R40: nothing depends on the watch but time.
#[test]
fn a_watch_that_says_nothing_is_made_up_for_by_reads() {
    let mut world = cluster(Mode::Available, 3, 60);
    world.deaf.extend([0, 1, 2]);
    world.kill(2);
    let took = world.run_until(MINUTE, World::whole);
    assert!(took < secs(40.0), "{took:?}");
}

#[test]
fn other_settings_are_refused_when_the_cluster_appears() {
    let mut world = World::new(61);
    world.start(&config(Mode::Available, 2), "n1");
    let odd = ClusterConfig {
        hash: KeyHash::Xxh3,
        ..config(Mode::Available, 2)
    };
    world.start(&odd, "n2");
    world.run_until(secs(5.0), |world| world.nodes[1].gave_up.is_some());
    let why = world.nodes[1].gave_up.clone().unwrap();
    assert!(why.contains("--hash crc16"), "{why}");
    world.run(secs(1.0));
    assert_eq!(
        world.nodes[1].serving(world.now),
        Serving::Fenced(FenceReason::Stopping)
    );
    assert!(!world.registered("n2"));
    world.run_until(secs(5.0), |world| world.serves(0) == 16_384);
}

/// Garbage in the registry is told and skipped, and does not spread.
#[test]
fn unreadable_values_are_ignored_one_by_one() {
    let mut world = cluster(Mode::Available, 2, 62);
    let page = keys().key(&RegistryKey::Page(PageIndex::new(7).unwrap()));
    for key in [
        page.clone(),
        keys().key(&RegistryKey::Plan),
        keys().key(&RegistryKey::Meta),
        super::registry::member_key("n9"),
        keys().key(&RegistryKey::Group("g".parse().unwrap())),
    ] {
        world.registry.put_raw(&key, b"{\"rows\":");
    }
    world.run(secs(1.0));
    assert!(world.whole());
    let problems = world.problems(0);
    assert_eq!(problems.len(), 5, "{problems:#?}");
    assert!(
        problems[4].contains(&page) && problems[4].contains("EOF"),
        "{problems:#?}"
    );
    let mut lines = world.log.iter().map(|(_, line)| line);
    assert_eq!(
        lines
            .clone()
            .filter(|line| line.contains("n1: ERROR"))
            .count(),
        5
    );
    assert!(lines.any(|line| line.contains(&page)));
}

/// I2: an older page or a lower epoch is not applied, whatever its revision.
#[test]
fn epochs_and_generations_never_go_down() {
    let mut world = cluster(Mode::Available, 3, 63);
    world.kill(2);
    world.run_until(secs(20.0), World::whole);
    let index = PageIndex::all().find(|page| {
        world.nodes[0].state.mirror.pages[page.index()]
            .as_ref()
            .is_some_and(|held| held.value.rows.iter().any(|row| row.epoch.0 > 1))
    });
    let index = index.unwrap();
    let key = keys().key(&RegistryKey::Page(index));
    let good = world.nodes[0].state.mirror.pages[index.index()]
        .clone()
        .unwrap()
        .value;
    let mut old = good.clone();
    old.rows
        .iter_mut()
        .for_each(|row| row.epoch = cached_proto::types::Epoch(1));
    world.registry.put(&key, &old, 0);
    world.run(secs(1.0));
    assert_eq!(
        world.nodes[0].state.mirror.pages[index.index()]
            .as_ref()
            .unwrap()
            .value,
        good
    );
    let mut older = good.clone();
    older.generation = 0;
    world.registry.put(&key, &older, 0);
    world.run(secs(1.0));
    assert_eq!(
        world.nodes[0].state.mirror.pages[index.index()]
            .as_ref()
            .unwrap()
            .value,
        good
    );
    assert!(
        world
            .problems(0)
            .join("\n")
            .contains("is of generation 0 after 1")
    );
}

/// R41: a registry that was restored from the past is not believed.
#[test]
fn revisions_that_run_backwards_are_refused() {
    let mut world = cluster(Mode::Strict, 2, 64);
    world.registry.revision -= 20;
    world.run(secs(6.0));
    assert_eq!(
        world.serves(0) + world.serves(1),
        0,
        "nothing proves life any more"
    );
    assert!(
        world.problems(0).join("\n").contains("ran backwards"),
        "{:?}",
        world.problems(0)
    );
}
