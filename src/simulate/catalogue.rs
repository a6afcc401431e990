//! Words the made-up company is built from. All of them are safe in JSON and in ids.

const FIRST: [&str; 40] = [
    "Amber", "Arctic", "Atlas", "Basalt", "Beacon", "Birch", "Blue", "Bright", "Cedar", "Cobalt", "Copper",
    "Coral", "Crescent", "Delta", "Ember", "Falcon", "Fern", "Granite", "Harbor", "Hazel", "Indigo", "Iron",
    "Juniper", "Lantern", "Lark", "Linden", "Lumen", "Maple", "Meridian", "Mosaic", "North", "Oak", "Onyx",
    "Pebble", "Quarry", "Raven", "River", "Sable", "Summit", "Willow",
];
const SECOND: [&str; 40] = [
    "Analytics",
    "Apparel",
    "Biotech",
    "Books",
    "Care",
    "Ceramics",
    "Clinics",
    "Coatings",
    "Consulting",
    "Courier",
    "Dental",
    "Design",
    "Dynamics",
    "Energy",
    "Farms",
    "Films",
    "Foods",
    "Freight",
    "Games",
    "Garden",
    "Glass",
    "Health",
    "Homes",
    "Hotels",
    "Insurance",
    "Labs",
    "Legal",
    "Logistics",
    "Marine",
    "Media",
    "Mobility",
    "Motors",
    "Optics",
    "Outdoor",
    "Partners",
    "Payments",
    "Robotics",
    "Schools",
    "Studios",
    "Textiles",
];

/// Industries of customers.
pub(super) const INDUSTRIES: [&str; 8] =
    ["software", "retail", "healthcare", "logistics", "manufacturing", "education", "finance", "media"];

/// Customer success managers.
pub(super) const OWNERS: [&str; 12] = [
    "ana.silva",
    "ben.okafor",
    "chloe.martin",
    "dae.kim",
    "elif.kaya",
    "farah.haddad",
    "george.novak",
    "hana.sato",
    "ivan.petrov",
    "jia.chen",
    "kofi.mensah",
    "lena.berg",
];

/// Time zones with their usual distance from UTC in hours.
pub(super) const ZONES: [(&str, i64); 8] = [
    ("America/Los_Angeles", -8),
    ("America/New_York", -5),
    ("America/Sao_Paulo", -3),
    ("Europe/London", 0),
    ("Europe/Berlin", 1),
    ("Asia/Kolkata", 5),
    ("Asia/Seoul", 9),
    ("Australia/Sydney", 10),
];

/// Features of the product, most used first. Their number fits the bits of a `u8`.
pub(super) const FEATURES: [&str; 8] =
    ["dashboards", "reports", "search", "exports", "alerts", "api", "automations", "audit_log"];

/// The display name of the `index`-th company. Different for every index.
pub(super) fn company_name(index: usize) -> String {
    let pairs = FIRST.len() * SECOND.len();
    // 607 shares no factor with 1600, so this visits every pair once before it repeats.
    let pair = index % pairs * 607 % pairs;
    let name = format!("{} {}", FIRST[pair % FIRST.len()], SECOND[pair / FIRST.len()]);
    match index / pairs {
        0 => name,
        round => format!("{name} {}", round + 1),
    }
}

/// The account id made of a display name.
pub(super) fn slug(name: &str) -> String {
    name.to_lowercase().replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_company_has_its_own_id() {
        let ids: std::collections::BTreeSet<String> = (0..5000).map(|i| slug(&company_name(i))).collect();
        assert_eq!(ids.len(), 5000);
    }
}
