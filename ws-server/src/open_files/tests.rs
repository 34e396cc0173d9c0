use super::*;

#[test]
fn what_fits_leaves_files_for_the_nodes_own_calls() {
    assert_eq!(fitting(60_000, 50_000, 8_192), None);
    for (free, sessions, http) in [(59_000, 50_000, 8_192), (1_000, 50_000, 8_192), (64, 50_000, 8_192), (40, 100, 16)]
    {
        let (fit, places) = fitting(free, sessions, http).unwrap();
        assert!(fit <= sessions && places <= http.max(LEAST_HTTP));
        assert!(fit + places + LEAST_KEPT <= free, "{free}: {fit} and {places}");
        assert!(fit >= places, "most of it is for sessions: {fit}, {places}");
    }
    assert_eq!(fitting(20, 100, 16), Some((LEAST_SESSIONS, LEAST_HTTP)), "too few for anything");
}

#[test]
fn a_raised_limit_is_the_hard_one() {
    raise_limit();
    let limit = getrlimit(Resource::Nofile);
    assert_eq!(limit.current, limit.maximum);
}
