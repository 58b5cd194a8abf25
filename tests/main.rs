//! The whole product from outside: the two programs, real daemons, the real terraform.

mod acceptance;
mod balancer;
mod bundles;
mod cli;
mod clouds;
mod data;
mod encodings;
mod environment;
mod faulty_clouds;
mod golden_images;
mod guarded_clouds;
mod health;
mod hostile_plugins;
mod load;
mod modules;
mod ownership;
mod proposals;
mod sandbox;
mod sharing;
mod stack;
mod state;
mod strangers;
mod terraform;
mod testing;
mod tidy;
mod walk;
