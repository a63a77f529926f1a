//! One exit code for several runs.

/// The order of badness, worst first; a success is the last.
const ORDER: [u8; 11] = [70, 143, 130, 129, 124, 3, 1, 75, 4, 6, 5];

/// The worst of several exit codes; 0 for none.
pub fn worst(codes: impl IntoIterator<Item = u8>) -> u8 {
    let rank = |code: &u8| match code {
        0 => ORDER.len() + 1,
        // One that the table does not know is a failure all the same.
        code => ORDER.iter().position(|known| known == code).unwrap_or(ORDER.len()),
    };
    codes.into_iter().min_by_key(rank).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_by_the_table_not_by_number() {
        assert_eq!(worst([]), 0);
        assert_eq!(worst([0, 0]), 0);
        assert_eq!(worst([0, 5, 6]), 6);
        assert_eq!(worst([75, 4, 1]), 1);
        assert_eq!(worst([1, 3, 75]), 3);
        assert_eq!(worst([3, 124, 1]), 124);
        assert_eq!(worst([124, 130, 3]), 130);
        assert_eq!(worst([143, 70, 129]), 70);
        assert_eq!(worst([75, 4]), 75);
        assert_eq!(worst([0, 99]), 99);
    }
}
