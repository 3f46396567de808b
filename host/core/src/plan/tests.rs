//! Plans: who is before whom, who provides, what goes in a circle. How they run is tested with the decisions.

use super::{Plan, Provider, Relation};
use crate::decide::tests::shape::{Shape, flow_of, from, nested, output, t, task};
use crate::flow::{Flow, Pattern};

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
    for flow in [linear, tree] {
        let row = rmp_serde::to_vec_named(&flow).expect("a flow can be written");
        assert_eq!(rmp_serde::from_slice::<Flow>(&row).expect("a flow can be read"), flow);
        let json = serde_json::to_string(&flow).expect("a flow can be written");
        assert_eq!(serde_json::from_str::<Flow>(&json).expect("a flow can be read"), flow);
    }
}
