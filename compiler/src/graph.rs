//! A directed graph of small numbers, and its order.

/// Edges go from a node to what it depends on.
#[derive(Debug, Clone, Default)]
pub struct Dag {
    pub dependencies: Vec<Vec<usize>>,
}

impl Dag {
    pub fn with_nodes(count: usize) -> Dag {
        Dag { dependencies: vec![Vec::new(); count] }
    }

    /// Adds an edge once. Edges of one node are added together, so looking at the last ones is enough to keep
    /// most duplicates out; [`Dag::finish`] removes the rest.
    pub fn depend(&mut self, node: usize, on: usize) {
        if self.dependencies[node].last() != Some(&on) {
            self.dependencies[node].push(on);
        }
    }

    pub fn finish(&mut self) {
        for edges in &mut self.dependencies {
            edges.sort_unstable();
            edges.dedup();
        }
    }

    /// For every node, the nodes that depend on it.
    pub fn dependents(&self) -> Vec<Vec<usize>> {
        let mut dependents = vec![Vec::new(); self.dependencies.len()];
        for (node, edges) in self.dependencies.iter().enumerate() {
            edges.iter().for_each(|on| dependents[*on].push(node));
        }
        dependents
    }

    /// All nodes, each after what it depends on; or the nodes of a cycle, each depending on the next, the last
    /// on the first.
    pub fn order(&self) -> Result<Vec<usize>, Vec<usize>> {
        let dependents = self.dependents();
        let mut waiting: Vec<usize> = self.dependencies.iter().map(Vec::len).collect();
        let mut order: Vec<usize> = (0..waiting.len()).filter(|node| waiting[*node] == 0).collect();
        let mut next = 0;
        while let Some(node) = order.get(next).copied() {
            next += 1;
            for dependent in &dependents[node] {
                waiting[*dependent] -= 1;
                if waiting[*dependent] == 0 {
                    order.push(*dependent);
                }
            }
        }
        if order.len() == waiting.len() { Ok(order) } else { Err(self.cycle(&waiting)) }
    }

    /// Every node that still waits depends on another that still waits, so following them must come round.
    fn cycle(&self, waiting: &[usize]) -> Vec<usize> {
        let mut node = (0..waiting.len()).find(|node| waiting[*node] > 0).unwrap_or(0);
        let mut path: Vec<usize> = Vec::new();
        let mut position = vec![None; waiting.len()];
        loop {
            if let Some(start) = position[node] {
                return path.split_off(start);
            }
            position[node] = Some(path.len());
            path.push(node);
            match self.dependencies[node].iter().find(|on| waiting[**on] > 0) {
                Some(on) => node = *on,
                None => return path,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dag(edges: &[(usize, usize)], count: usize) -> Dag {
        let mut dag = Dag::with_nodes(count);
        edges.iter().for_each(|(node, on)| dag.depend(*node, *on));
        dag.finish();
        dag
    }

    #[test]
    fn order_puts_dependencies_first() {
        assert_eq!(dag(&[(0, 1), (1, 2), (0, 2)], 3).order(), Ok(vec![2, 1, 0]));
    }

    #[test]
    fn a_cycle_is_named_in_order() {
        assert_eq!(dag(&[(0, 1), (1, 2), (2, 1)], 3).order(), Err(vec![1, 2]));
        assert_eq!(dag(&[(0, 0)], 1).order(), Err(vec![0]));
    }
}
