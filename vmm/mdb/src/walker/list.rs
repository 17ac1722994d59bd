//! Linked lists of a guest, followed so that they end.
//!
//! # Invariants
//! - A list that leads back into itself ends where Brent's algorithm notices it, and the link that closes it is named; one that
//!   leads to nowhere ends at the link that does, and one that does not end is cut off.

use super::Walk;
use crate::lang::Failure;

/// Elements that a list may have.
const MAX_ELEMENTS: usize = 1 << 16;

/// Follows a list from `first` on; `next` gives what follows an element, 0 for the end.
pub(crate) fn follow(first: u64, mut next: impl FnMut(u64) -> Result<u64, Failure>) -> Walk {
    let mut walk = Walk::default();
    let mut at = first;
    // Brent: the tortoise waits where the hare was after 1, 2, 4, ... steps.
    let (mut tortoise, mut steps, mut limit) = (0, 0_usize, 1_usize);
    while at != 0 {
        if at == tortoise {
            return cut_at_cycle(walk, at);
        }
        if walk.addrs.len() == MAX_ELEMENTS {
            walk.ended = Some(Failure::new(format!(
                "the list has more than {MAX_ELEMENTS} elements; the rest is left out"
            )));
            return walk;
        }
        if steps == limit {
            (tortoise, limit, steps) = (at, limit * 2, 0);
        }
        walk.addrs.push(at);
        steps += 1;
        match next(at) {
            Ok(following) => at = following,
            Err(failure) => {
                walk.addrs.pop();
                let link = walk
                    .addrs
                    .last()
                    .map_or_else(|| "the head".to_owned(), |from| format!("the link of {from:#x}"));
                walk.ended =
                    Some(Failure::new(format!("the list is corrupt: {link} leads to {at:#x}: {failure}")));
                return walk;
            }
        }
    }
    walk
}

/// Leaves each element once, and names the link that leads back.
fn cut_at_cycle(mut walk: Walk, next: u64) -> Walk {
    let mut seen = std::collections::HashSet::new();
    let again = walk.addrs.iter().position(|at| !seen.insert(*at));
    let (len, back_to) = match again {
        Some(n) => (n, walk.addrs[n]),
        // The hare met the tortoise at the very element that would have come next.
        None => (walk.addrs.len(), next),
    };
    walk.addrs.truncate(len);
    let from = walk.addrs.last().copied().unwrap_or(0);
    walk.ended =
        Some(Failure::new(format!("the list is corrupt: the link of {from:#x} leads back to {back_to:#x}")));
    walk
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list whose element n is followed by `links[n - 1]`; what is not there cannot be read.
    fn walked(links: &[u64]) -> (Vec<u64>, Option<String>) {
        let next = |at: u64| {
            let link = links.get(at as usize - 1).copied();
            link.ok_or_else(|| Failure::new(format!("no memory at {at:#x}")))
        };
        let walk = follow(1, next);
        (walk.addrs, walk.ended.map(|failure| failure.message))
    }

    #[test]
    fn list_that_is_sound_is_followed_to_its_end() {
        assert_eq!(walked(&[2, 3, 4, 0]), (vec![1, 2, 3, 4], None));
        assert_eq!(follow(0, |_| Ok(0)), Walk::default());
    }

    #[test]
    fn list_that_leads_back_ends_and_names_the_link() {
        for back in 1..=7_u64 {
            let mut links: Vec<u64> = (2..=7).collect();
            links.push(back);
            let (addrs, ended) = walked(&links);
            assert_eq!(addrs, [1, 2, 3, 4, 5, 6, 7], "back to {back}");
            let expect = format!("the list is corrupt: the link of 0x7 leads back to {back:#x}");
            assert_eq!(ended, Some(expect));
        }
    }

    #[test]
    fn list_that_leads_nowhere_ends_and_names_the_link() {
        let (addrs, ended) = walked(&[2, 99]);
        assert_eq!(addrs, [1, 2]);
        assert_eq!(
            ended.as_deref(),
            Some("the list is corrupt: the link of 0x2 leads to 0x63: no memory at 0x63")
        );
    }

    #[test]
    fn list_without_an_end_is_cut_off() {
        let walk = follow(1, |at| Ok(at + 1));
        assert_eq!(walk.addrs.len(), MAX_ELEMENTS);
        assert!(walk.ended.is_some());
    }
}
