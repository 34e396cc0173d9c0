//! Whether many nodes write one room as well as one does: commits that take as long as DynamoDB's, a steady load, and
//! goals. The service keeps its promises or the run has failed; a goal that is missed is only told.

mod measured;
mod setting;
mod table;

pub use measured::{Measured, Plan, measure};
pub use setting::{ALONE, Goal, Row, SETTINGS, Setting, What};
pub use table::{Line, Table, median};
