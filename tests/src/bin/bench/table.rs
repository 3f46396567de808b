//! The table that people read.

use crate::figure::Figure;

const HEADS: [&str; 9] =
    ["work", "unit", "figure", "floor", "ratio", "target", "met", "CPU us/job", "rows, bytes/job"];
/// The first two are text, and begin on the left.
const TEXT_COLUMNS: usize = 2;

/// Columns as wide as what is in them.
pub fn print(figures: &[Figure]) {
    let rows: Vec<[String; 9]> =
        std::iter::once(HEADS.map(str::to_owned)).chain(figures.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
    for row in &rows {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = widths[column];
            if column < TEXT_COLUMNS { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

fn row(figure: &Figure) -> [String; 9] {
    let told = |value: Option<f64>| value.map(number).unwrap_or_default();
    let met = figure.is_met().map(|is_met| if is_met { "yes" } else { "NO" });
    [
        figure.measure.work.to_owned(),
        figure.measure.unit.to_owned(),
        number(figure.value),
        told(figure.floor),
        figure.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
        told(figure.measure.reach),
        met.unwrap_or_default().to_owned(),
        told(figure.cost.map(|cost| cost.processor_us)),
        figure.cost.map(|cost| format!("{:.0}, {:.0}", cost.rows, cost.stored_bytes)).unwrap_or_default(),
    ]
}

/// Three places that count.
fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
