//! Cycles: points each of which would have to be passed before itself.

/// Cycles that are told of at once: whoever made more of them has one habit to change.
pub(super) const CYCLES_MAX: usize = 16;

/// Cycles that share no point with each other, [`CYCLES_MAX`] at most. Empty where there is an order for all points.
pub(super) fn cycles(before: &[Vec<u32>], after: &[Vec<u32>]) -> Vec<Vec<u32>> {
    let mut is_left = vec![true; before.len()];
    let mut cycles = Vec::new();
    loop {
        trim(&mut is_left, before, after);
        trim(&mut is_left, after, before);
        let first = is_left.iter().position(|left| *left).filter(|_| cycles.len() < CYCLES_MAX);
        let Some(first) = first else { return cycles };
        let mut cycle = walk(first as u32, &is_left, after);
        // The first in the order of definition is named first.
        let first = cycle.iter().enumerate().min_by_key(|(_, point)| **point).map_or(0, |(at, _)| at);
        cycle.rotate_left(first);
        cycle.iter().for_each(|point| is_left[*point as usize] = false);
        cycles.push(cycle);
    }
}

/// Takes away what nothing left comes before, again and again.
fn trim(is_left: &mut [bool], before: &[Vec<u32>], after: &[Vec<u32>]) {
    let left_of = |points: &[u32], is_left: &[bool]| points.iter().filter(|p| is_left[**p as usize]).count();
    let mut counts: Vec<usize> = before.iter().map(|points| left_of(points, is_left)).collect();
    let mut open: Vec<usize> = (0..before.len()).filter(|p| is_left[*p] && counts[*p] == 0).collect();
    while let Some(point) = open.pop() {
        is_left[point] = false;
        for next in &after[point] {
            let next = *next as usize;
            counts[next] -= 1;
            if counts[next] == 0 && is_left[next] {
                open.push(next);
            }
        }
    }
}

/// From a point on, always to something left, until a point comes again. What is left has something left after it.
fn walk(from: u32, is_left: &[bool], after: &[Vec<u32>]) -> Vec<u32> {
    let mut seen_at = std::collections::HashMap::new();
    let mut way = Vec::new();
    let mut point = from;
    loop {
        if let Some(at) = seen_at.insert(point, way.len()) {
            return way.split_off(at);
        }
        way.push(point);
        let next = after[point as usize].iter().find(|next| is_left[**next as usize]);
        point = *next.expect("what has nothing left after it was taken away");
    }
}
