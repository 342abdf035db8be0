//! Whatever is done to a device, what it charges is what its parts add up to, and all of it comes back.

use kvtrace_cuda_sim::{Device, GRANULE, Held, Kind, Node, Place, Profile, Shape};
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

#[derive(Debug, Clone)]
enum Step {
    Alloc(u8, u64),
    Pool(u64),
    EndPool(usize),
    Trim(usize, u64),
    Synchronize,
    Create(u64, bool),
    Map(usize),
    Unmap(usize),
    Retain(usize),
    Export(usize),
    Prefetch(usize, u64, u64, bool),
    Launch(usize),
    TrimGraphs,
    Graph(u64),
    End(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    use Step::{
        Alloc, Create, End, EndPool, Export, Graph, Launch, Map, Pool, Prefetch, Retain, Synchronize, Trim, TrimGraphs,
        Unmap,
    };
    let one = prop_oneof![
        6 => (0u8..6, 1u64..40 * MIB).prop_map(|(kind, size)| Alloc(kind, size)),
        1 => (0u64..64 * MIB).prop_map(Pool),
        1 => (0usize..9).prop_map(EndPool),
        1 => (0usize..9, 0u64..99 * MIB).prop_map(|(at, keep)| Trim(at, keep)),
        1 => Just(Synchronize),
        2 => (1u64..9, any::<bool>()).prop_map(|(granules, host)| Create(granules, host)),
        2 => (0usize..9).prop_map(Map),
        1 => (0usize..9).prop_map(Unmap),
        1 => (0usize..9).prop_map(Retain),
        1 => (0usize..9).prop_map(Export),
        2 => (0usize..9, 0u64..30 * MIB, 1u64..30 * MIB, any::<bool>()).prop_map(|(at, b, s, to)| Prefetch(at, b, s, to)),
        1 => (1u64..50 * MIB).prop_map(Graph),
        2 => (0usize..9).prop_map(Launch),
        1 => Just(TrimGraphs),
        8 => (0usize..99).prop_map(End),
    ];
    prop::collection::vec(one, 1..80)
}

/// Everything that is to be given back.
#[derive(Default)]
struct Model {
    blocks: Vec<(u8, u64)>,
    pools: Vec<u64>,
    handles: Vec<u64>,
    mappings: Vec<u64>,
    graphs: Vec<(u64, u64)>,
}

fn pick<T: Copy>(list: &[T], at: usize) -> Option<T> {
    list.get(at.checked_rem(list.len())?).copied()
}

fn shape(size: u64) -> Shape {
    Shape { width: 1 + size % 3000, height: size / MIB, depth: size % 3, layers: 0, element: 4 }
}

impl Model {
    fn apply(&mut self, device: &Device, step: &Step) {
        match *step {
            Step::Alloc(kind, size) => {
                let pool = pick(&self.pools, size as usize).unwrap_or_else(|| device.pool());
                let got = match kind {
                    0 => device.alloc(Kind::Device, size),
                    1 => device.alloc(Kind::Device, size % MIB + 1),
                    2 => device.alloc_from(pool, size),
                    3 => device.create_array(shape(size), 1 + (size % 4) as u32, size.is_multiple_of(5)),
                    4 => device.alloc(Kind::Managed, size),
                    _ => device.alloc(Kind::Host, size),
                };
                self.blocks.extend(got.map(|address| (kind, address)));
            }
            Step::Pool(threshold) => {
                let pool = device.create_pool();
                device.set_pool_figure(pool, kvtrace_cuda_sim::PoolFigure::Threshold, threshold).unwrap();
                self.pools.push(pool);
            }
            Step::EndPool(at) => {
                if let Some(pool) = pick(&self.pools, at) {
                    self.pools.retain(|other| *other != pool);
                    device.destroy_pool(pool).unwrap();
                }
            }
            Step::Trim(at, keep) => drop(pick(&self.pools, at).map(|pool| device.trim_pool(pool, keep))),
            Step::Synchronize => device.synchronize(),
            Step::Create(granules, host) => {
                let place = if host { Place::Host } else { Place::Device };
                self.handles.extend(device.create(granules * GRANULE, place));
            }
            Step::Map(at) => {
                let address = device.reserve(GRANULE, 0).unwrap();
                let mapped =
                    pick(&self.handles, at).is_some_and(|handle| device.map(address, GRANULE, 0, handle).is_ok());
                if mapped {
                    self.mappings.push(address);
                }
            }
            Step::Unmap(at) => {
                if let Some(address) = pick(&self.mappings, at) {
                    self.mappings.retain(|other| *other != address);
                    device.unmap(address, GRANULE).unwrap();
                }
            }
            Step::Retain(at) => {
                self.handles.extend(pick(&self.mappings, at).map(|address| device.retain(address).unwrap()));
            }
            Step::Export(at) => {
                let exported = pick(&self.handles, at).and_then(|handle| device.export(handle).ok());
                let imported = exported.map(|fd| device.import(std::os::fd::AsFd::as_fd(&fd)).unwrap());
                self.handles.extend(imported);
            }
            Step::Prefetch(at, begin, size, to_device) => {
                let managed: Vec<u64> = self.blocks.iter().filter(|(kind, _)| *kind == 4).map(|(_, at)| *at).collect();
                pick(&managed, at).map(|address| device.prefetch(address + begin, size, to_device));
            }
            Step::Graph(size) => self.graphs.extend(device.graph_address(size).map(|address| (address, size))),
            Step::Launch(at) => {
                if let Some((address, size)) = pick(&self.graphs, at)
                    && device.launch(&[Node::Alloc { address, size }]).is_ok()
                {
                    self.blocks.push((6, address));
                }
            }
            Step::TrimGraphs => device.trim_graphs(),
            Step::End(at) if at % 3 == 0 && !self.handles.is_empty() => {
                let handle = self.handles.swap_remove(at % self.handles.len());
                device.release(handle).unwrap();
            }
            Step::End(at) => {
                if let Some((kind, address)) = pick(&self.blocks, at) {
                    self.blocks.retain(|other| *other != (kind, address));
                    match kind {
                        3 => device.destroy_array(address).unwrap(),
                        5 => drop(device.free_host(address).unwrap()),
                        _ if at % 2 == 0 => drop(device.free(address).unwrap()),
                        _ => drop(device.free_ordered(address).unwrap()),
                    }
                }
            }
        }
    }
}

fn check(device: &Device, total: u64) -> Result<(), TestCaseError> {
    let held = device.held();
    let Held { device: blocks, array, reserved, orphaned, vmm, shared, graph, prefetched, rounding, charged, .. } =
        held;
    let parts = blocks + array + reserved + orphaned + (vmm - shared) + graph + prefetched + rounding;
    prop_assert_eq!(charged, held.context + parts, "{:?}", held);
    // What is shared may live on under an imported handle only.
    let free = device.memory().free;
    prop_assert!(
        total - free >= charged + shared && total - free <= charged + shared + held.imported,
        "{held:?} {free}"
    );
    prop_assert!(held.allocated <= reserved + orphaned);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_charge_is_the_sum_of_its_parts(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let profile = Profile { total: 700 * MIB, context: 512 * MIB, ..Profile::of_name("h100-80").unwrap() };
        let total = profile.total;
        let device = Device::open(profile, &folder.path().join("state")).unwrap();
        let mut model = Model::default();
        for step in &steps {
            model.apply(&device, step);
            check(&device, total)?;
        }
        for at in 0.. {
            if model.blocks.is_empty() && model.handles.is_empty() && model.mappings.is_empty() { break }
            model.apply(&device, &Step::End(at));
            model.apply(&device, &Step::Unmap(0));
        }
        for pool in std::mem::take(&mut model.pools) {
            device.destroy_pool(pool).unwrap();
        }
        device.synchronize();
        device.trim_graphs();
        prop_assert_eq!(device.held().charged, 0);
        prop_assert_eq!(device.memory().free, total);
    }
}
