//! Plans: who is before whom, who provides, what goes in a circle. How they run is tested with the decisions.

use super::{Plan, Provider, Relation};
use crate::decide::tests::shape::{Shape, flow_of, from, nested, output, own_revert, t, task};
use crate::flow::{Flow, Pattern};
use crate::phase::Phase;

use Pattern::{Graph, Linear, Unordered};

#[test]
fn what_is_before_and_after_is_seen_through_the_ends_of_flows() {
    let both = |name: &str, tasks: [&str; 2]| nested(name, Unordered, tasks.map(t));
    let plan = Plan::of(&flow_of(Linear, [both("one", ["a", "b"]), both("two", ["c", "d"]), t("e")]));
    assert_eq!(plan.predecessors("c"), ["a", "b"]);
    assert_eq!(plan.successors("b"), ["c", "d"]);
    assert_eq!(plan.predecessors("e"), ["c", "d"]);
    assert_eq!((plan.predecessors("a"), plan.successors("e")), (vec![], vec![]));
    assert_eq!(plan.task_count(), 5);
    assert_eq!(plan.index("c"), Some(2));
    assert_eq!(plan.index("one"), None, "a nested flow is no task");
}

#[test]
fn what_lies_further_on_is_no_neighbour_whoever_asks_for_it() {
    let inner = nested("inner", Graph, [t("p"), t("q").needs(&["p"])]);
    let plan = Plan::of(&flow_of(Linear, [inner, t("r"), t("s").needs(&["p"])]));
    assert_eq!(plan.successors("p"), ["q"]);
    assert_eq!(plan.successors("q"), ["r"]);
    assert_eq!((plan.predecessors("s"), plan.predecessors("r")), (vec!["r"], vec!["q"]));
}

#[test]
fn wide_flows_in_a_row_take_an_edge_a_task_and_not_one_a_pair() {
    let wide = |name: &str| nested(name, Unordered, (0..1_000).map(|n| t(&format!("{name}{n}"))));
    let plan = Plan::of(&flow_of(Linear, [wide("a"), wide("b"), wide("c")]));
    let edges: usize = plan.sections[0].after.iter().map(Vec::len).sum();
    assert_eq!(edges, 2 * 3_000 + 4);
}

#[test]
fn phases_are_in_order_and_take_an_edge_a_task_and_not_one_a_pair() {
    let wide = |phase: Phase| {
        (0..1_000).map(move |n| t(&format!("{}{n}", phase.word())).phase(phase)).collect::<Vec<_>>()
    };
    let all = [Phase::Acquire, Phase::Reserve, Phase::Configure].into_iter().flat_map(wide);
    let plan = Plan::of(&flow_of(Graph, all.chain([t("free")])));
    let edges: usize = plan.sections[0].after.iter().map(Vec::len).sum();
    // Each with the beginning and the end of the flow, and what is in between.
    assert_eq!(edges, 2 * 3_001 + 4 * 1_000);
    assert_eq!(plan.predecessors("configure7").len(), 1_000);
    assert!(plan.predecessors("configure7").iter().all(|name| name.starts_with("reserve")));
    assert!(plan.predecessors("acquire0").iter().all(|name| name.starts_with("configure")));
    assert!(plan.predecessors("reserve0").is_empty() && plan.predecessors("free").is_empty());
    let two = [t("q").phase(Phase::Acquire), nested("r", Linear, [t("a"), t("b")]).phase(Phase::Reserve)];
    let plan = Plan::of(&flow_of(Graph, two));
    assert_eq!((plan.predecessors("q"), plan.successors("b")), (vec!["b"], vec!["q"]));
    // Each flow has phases of its own, and only a graph is ordered by them.
    let inner = nested("inner", Graph, [t("x").phase(Phase::Reserve)]);
    let plan = Plan::of(&flow_of(Graph, [t("q").phase(Phase::Acquire), inner]));
    assert!(plan.predecessors("q").is_empty());
    let plan = Plan::of(&flow_of(Linear, [t("q").phase(Phase::Acquire), t("r").phase(Phase::Reserve)]));
    assert_eq!(plan.predecessors("r"), ["q"]);
    assert_eq!(plan.cycles(), [[""; 0]; 0]);
}

#[test]
fn a_flow_with_a_revert_of_its_own_is_one_node_of_what_is_around_it() {
    let m = nested("m", Graph, [t("b"), t("c").takes(from("x"))]).reverts(own_revert());
    let mut flow = flow_of(Graph, [m, t("a").provides("x"), t("z").needs(&["b"])]);
    let plan = Plan::of(&flow);
    assert_eq!(plan.predecessors("m"), ["a"]);
    assert_eq!(plan.predecessors("z"), ["m"]);
    let node = plan.node("m.revert").expect("it has a node");
    assert!(plan.is_own_revert(node) && !plan.is_task(node) && !plan.is_scope(node));
    assert_eq!((plan.name(node), plan.depth("m.revert")), ("m.revert", 0));
    assert_eq!(plan.own_reverts_around(plan.node("c").expect("a task")).collect::<Vec<_>>(), [node]);
    assert_eq!(plan.own_reverts_around(node).count(), 0);
    assert!(plan.is_undone_as_a_whole(1) && !plan.is_undone_as_a_whole(node));
    assert_eq!((plan.node("a.revert"), plan.node("flow.revert")), (None, None));
    flow.revert = Some(own_revert());
    let plan = Plan::of(&flow);
    let (inner, outer) = (plan.node("m.revert").expect("one"), plan.node("flow.revert").expect("the other"));
    assert_eq!(plan.own_reverts().collect::<Vec<_>>(), [outer, inner]);
    assert_eq!(plan.own_reverts_around(inner).collect::<Vec<_>>(), [outer]);
    assert_eq!(plan.predecessors("m"), ["a"]);
}

#[test]
fn f06_what_goes_in_a_circle_is_named() {
    let flow = flow_of(
        Graph,
        [
            t("a").takes(from("y")).provides("x"),
            t("b").takes(from("x")).provides("y"),
            t("behind").needs(&["b"]),
            t("p").needs(&["q"]),
            t("q").needs(&["r"]),
            t("r").takes(output("p")),
        ],
    );
    assert_eq!(Plan::of(&flow).cycles(), [vec!["a", "b"], vec!["p", "r", "q"]]);
    let flow = flow_of(
        Graph,
        [
            nested("one", Graph, [t("a").provides("x")]).needs(&["two"]),
            nested("two", Graph, [t("b").takes(from("x"))]),
        ],
    );
    assert_eq!(Plan::of(&flow).cycles(), [["a", "b", "two", "one"]]);
}

#[test]
fn the_innermost_flow_that_holds_both_says_what_may_depend_on_what() {
    let inner = nested("inner", Unordered, [t("a"), nested("deep", Linear, [t("b"), t("c")])]);
    let plan = Plan::of(&flow_of(Linear, [t("first"), inner, t("last")]));
    assert_eq!(plan.relation("c", "b"), Relation::Allowed);
    assert_eq!(plan.relation("b", "c"), Relation::Later);
    assert_eq!(plan.relation("b", "a"), Relation::Unordered("inner".to_owned()));
    assert_eq!(plan.relation("b", "first"), Relation::Allowed);
    assert_eq!(plan.relation("deep", "last"), Relation::Later);
    for (node, on) in [("a", "a"), ("a", "inner"), ("inner", "c")] {
        assert_eq!(plan.relation(node, on), Relation::Within, "{node} on {on}");
    }
    assert_eq!(plan.relation("a", "nobody"), Relation::Unknown);
}

#[test]
fn several_providers_in_a_graph_are_no_provider() {
    let two = [t("a").provides("x"), nested("n", Unordered, [t("b").provides("x"), t("c").provides("x")])];
    let outer =
        flow_of(Linear, [t("far").provides("x"), nested("g", Graph, two.into_iter().chain([t("reader")]))]);
    let plan = Plan::of(&outer);
    let several = Provider::Several(["a", "b", "c"].map(str::to_owned).to_vec());
    assert_eq!(plan.provider("reader", "x"), several);
    // A task does not provide for itself: b sees the only other one.
    assert_eq!(plan.provider("a", "far"), Provider::Task(0));
    assert_eq!(plan.provider("b", "x"), Provider::Task(1));
    assert_eq!(plan.provider("reader", "y"), Provider::Nobody);
}

#[test]
fn a_list_of_tasks_reads_as_the_linear_flow_that_it_was_and_a_tree_comes_back_from_its_row() {
    let linear = Flow::linear([task("a"), task("b")]);
    let json = serde_json::to_value(&linear).expect("a flow is JSON");
    assert_eq!(
        json.as_object().map(|object| object.keys().cloned().collect::<Vec<_>>()),
        Some(vec!["tasks".into()])
    );
    assert!(json["tasks"][0].get("needs").is_none() && json["tasks"][0].get("priority").is_none());
    assert_eq!(serde_json::from_value::<Flow>(json).expect("it reads"), linear);
    let mut tree = flow_of(
        Graph,
        [nested("n", Unordered, [t("a").priority(3), nested("empty", Linear, [])]), t("b").needs(&["n"])],
    );
    tree.parallel_max = Some(7);
    tree.revert = Some(own_revert());
    let inner = nested("inner", Linear, [t("c").phase(Phase::Acquire)]);
    tree.nodes.push(inner.reverts(own_revert()).phase(Phase::Reserve));
    assert_eq!((tree.own_reverts().count(), tree.plugins().count()), (2, 5));
    for flow in [linear, tree] {
        let row = rmp_serde::to_vec_named(&flow).expect("a flow can be written");
        assert_eq!(rmp_serde::from_slice::<Flow>(&row).expect("a flow can be read"), flow);
        let json = serde_json::to_string(&flow).expect("a flow can be written");
        assert_eq!(serde_json::from_str::<Flow>(&json).expect("a flow can be read"), flow);
    }
}
