mod support;
use futures::StreamExt;
use lucid_repository::*;
use support::*;
use std::time::Instant;
fn rss() -> String { std::fs::read_to_string("/proc/self/status").unwrap().lines().filter(|l| l.starts_with("VmHWM")||l.starts_with("VmRSS")).collect::<Vec<_>>().join(" ") }
#[tokio::test(flavor = "multi_thread")]
async fn perf() {
    let scratch = Scratch::new().await;
    let size = 600usize;
    let make = |b: i64| { let mut d = documents(b*4000..(b+1)*4000, size, "salt salt salt salt, words words words and more words, which compress well enough"); 
       for (i,x) in d.iter_mut().enumerate() { let n=x.len(); if i%2==0 { for k in n/2..n-1 { x[k]=b'a'+((k%7) as u8); } } } d };
    for (name, order) in [("first", ContentOrder::Any), ("second", ContentOrder::Any)] {
        let t = Instant::now(); let mut made = std::time::Duration::ZERO;
        let writer = scratch.repository.begin(name, 1, Domain::Sealed, Compression::default()).await.unwrap();
        let mut c = writer.collection(order);
        for b in 0..200 { let g = Instant::now(); let bs = batches(&make(b)); made += g.elapsed(); for x in bs { c.push(x).await.unwrap(); } }
        let content = c.finish().await.unwrap();
        writer.finish().await.unwrap();
        let m = manifest(name, 1, Domain::Sealed, vec![entry("x", order, content)]);
        writer.write_manifest(&m).await.unwrap();
        let s = writer.stats();
        println!("PERF {name} {:?} made {made:?} {s:?} {}", t.elapsed(), rss());
        drop(writer);
        let t = Instant::now();
        let r = scratch.repository.open_backup(&m).await.unwrap();
        let mut ch = std::pin::pin!(r.chunks(&m.collections[0])); let mut n = 0; while let Some(c) = ch.next().await { n += c.unwrap().bytes.len(); }
        println!("PERF read {n} {:?} {}", t.elapsed(), rss());
        let t = Instant::now();
        println!("PERF verify {:?} {:?} {}", r.verify(VerifyLevel::Data, &|_| (), &|| false).await.unwrap(), t.elapsed(), rss());
    }
}
