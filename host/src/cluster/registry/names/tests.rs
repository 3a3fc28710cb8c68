//! When names are asked for again, and what a reload keeps.

use super::*;
use crate::config::Dns;

fn app() -> Question {
    Question::Host("app.test".into())
}

fn found(last: u8) -> Vec<Found> {
    vec![Found { service: None, address: [10, 0, 0, last].into() }]
}

fn names(timeout: u64) -> Names {
    let settings = Dns { timeout: Duration::from_secs(timeout), ..Dns::default() };
    let mut names = Names { resolver: Some(Resolver::new(&settings)), ..Names::default() };
    names.entries.insert(app(), Entry::unknown());
    names
}

fn answer(names: &mut Names, answer: Result<u8, Failure>, epoch: u64) -> bool {
    let believed = Duration::from_secs(60);
    let answer = answer.map(|last| Answer { found: found(last), believed, lacking: None });
    names.note(LookedUp { question: app(), answer, took: Duration::ZERO, epoch })
}

#[tokio::test(start_paused = true)]
async fn an_answer_holds_for_its_time_and_through_failures() {
    let mut names = names(5);
    let begun = Instant::now();
    assert!(names.next_due(begun).is_some());
    assert!(names.next_due(begun).is_none(), "it is being asked for");
    assert!(answer(&mut names, Ok(1), 0));
    assert_eq!(names.due(), Some(begun + Duration::from_secs(60)));
    assert!(!answer(&mut names, Ok(1), 0), "nothing new");
    for pause in [1, 2, 4, 8, 16, 30, 30] {
        assert!(!answer(&mut names, Err(Failure::Empty), 0));
        assert_eq!(names.due(), Some(begun + Duration::from_secs(pause)));
        assert_eq!(names.found(&app()), found(1));
    }
    assert!(answer(&mut names, Ok(2), 0));
    answer(&mut names, Err(Failure::Empty), 0);
    assert_eq!(names.due(), Some(begun + Duration::from_secs(1)));
}

#[tokio::test(start_paused = true)]
async fn a_name_that_resolves_in_part_is_asked_for_again_soon() {
    let mut names = names(5);
    let begun = Instant::now();
    let mut part = |last: u8, lacking: Option<String>| {
        let believed = Duration::from_secs(60);
        let answer = Ok(Answer { found: found(last), believed, lacking });
        let changed =
            names.note(LookedUp { question: app(), answer, took: Duration::ZERO, epoch: 0 });
        (changed, names.due().unwrap() - begun)
    };
    let some = || Some("b.test: no answer in time".to_owned());
    assert_eq!(part(1, some()), (true, Duration::from_secs(1)));
    assert_eq!(part(1, some()), (false, Duration::from_secs(2)));
    assert_eq!(part(2, None), (true, Duration::from_secs(60)));
}

#[tokio::test(start_paused = true)]
async fn of_two_answers_of_the_same_servers_the_later_one_stays() {
    let (mut served, mut candidate) = (names(5), names(5));
    answer(&mut candidate, Ok(1), 0);
    tokio::time::advance(Duration::from_secs(1)).await;
    answer(&mut served, Ok(2), 0);
    served.give_way(candidate);
    assert_eq!(served.found(&app()), found(2));
    let mut candidate = names(5);
    tokio::time::advance(Duration::from_secs(1)).await;
    answer(&mut candidate, Ok(3), 0);
    served.give_way(candidate);
    assert_eq!(served.found(&app()), found(3));
}

#[tokio::test(start_paused = true)]
async fn what_former_servers_say_is_not_heard() {
    let (mut served, mut candidate) = (names(5), names(6));
    answer(&mut candidate, Ok(1), 0);
    tokio::time::advance(Duration::from_secs(1)).await;
    answer(&mut served, Ok(2), 0);
    served.give_way(candidate);
    assert_eq!(served.found(&app()), found(1));
    assert!(!answer(&mut served, Ok(2), 0));
    assert!(answer(&mut served, Ok(3), 1));
}

#[test]
fn the_pause_between_failures_has_an_end() {
    assert_eq!(pause(Duration::from_millis(50), 0), Duration::from_millis(50));
    assert_eq!(pause(Duration::from_millis(50), u32::MAX), LONGEST_RETRY);
    assert_eq!(pause(Duration::from_mins(1), 3), Duration::from_mins(1));
}
