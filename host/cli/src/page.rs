//! Pages: lists that are longer than one answer.

use clap::Args;

use crate::problem::Problem;

/// The most that a host puts on one page.
const PAGE_SIZE_MAX: u32 = 1_000;

/// How much of a list is wanted.
#[derive(Debug, Clone, Args)]
pub struct Page {
    /// At most so many; 0: all
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub limit: u32,
    /// Go on where an earlier list stopped
    #[arg(long, default_value = "", value_name = "TOKEN")]
    pub page_token: String,
}

/// Reads pages until there is enough. Says on standard error how to go on when there is more.
pub async fn collect<T>(
    page: &Page,
    mut fetch: impl AsyncFnMut(i32, String) -> Result<(Vec<T>, String), Problem>,
) -> Result<Vec<T>, Problem> {
    let mut things = Vec::new();
    let mut token = page.page_token.clone();
    loop {
        let wanted = match page.limit {
            0 => PAGE_SIZE_MAX,
            limit => (limit - length(&things)).min(PAGE_SIZE_MAX),
        };
        let (found, next) = fetch(i32::try_from(wanted).unwrap_or(i32::MAX), token).await?;
        things.extend(found);
        if next.is_empty() {
            return Ok(things);
        }
        if page.limit != 0 && length(&things) >= page.limit {
            eprintln!("there is more: --page-token {next}");
            return Ok(things);
        }
        token = next;
    }
}

fn length<T>(things: &[T]) -> u32 {
    u32::try_from(things.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(limit: u32) -> (Vec<u32>, Vec<(i32, String)>) {
        let page = Page { limit, page_token: String::new() };
        let mut asked = Vec::new();
        let things = collect(&page, async |size, token: String| {
            asked.push((size, token.clone()));
            let first: u32 = if token.is_empty() { 0 } else { token.parse().unwrap() };
            let last = (first + u32::try_from(size).unwrap().min(2)).min(5);
            let next = if last < 5 { last.to_string() } else { String::new() };
            Ok(((first..last).collect(), next))
        })
        .await
        .unwrap();
        (things, asked)
    }

    #[tokio::test]
    async fn pages_are_read_until_there_is_enough() {
        assert_eq!(read(3).await.0, [0, 1, 2]);
        assert_eq!(read(3).await.1, [(3, String::new()), (1, "2".to_owned())]);
        assert_eq!(read(50).await.0, [0, 1, 2, 3, 4]);
        assert_eq!(read(0).await.0, [0, 1, 2, 3, 4]);
    }
}
